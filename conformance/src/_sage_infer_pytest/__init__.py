"""``pytest --sage-plugin NAME``: one test item for each clause that the plugin is judged by.

pytest imports this module in every run where the kit is installed, so it imports nothing but pytest, and does nothing
unless the option is given.
"""

from __future__ import annotations

import pytest

_GROUP = "sage-infer conformance"
_KINDS_HINT = "what is judged, where the name does not tell"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("sage", _GROUP)
    group.addoption(
        "--sage-plugin",
        action="append",
        default=[],
        metavar="NAME",
        help="judge this plugin (NAME, DISTRIBUTION:NAME, module:attribute, ./file.py:attribute), a test a clause",
    )
    group.addoption("--sage-kind", metavar="KIND", help=_KINDS_HINT)
    group.addoption("--sage-mode", choices=("certify", "develop"), default="certify", help="how to judge it")
    group.addoption("--sage-seed", type=int, default=0, help="same seed, same verdicts and counts")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Add the items of each plugin that was named, before ``-k`` and ``-m`` choose."""
    names: list[str] = config.getoption("sage_plugin")
    if names:
        from .items import clause_items

        for name in names:
            items.extend(clause_items(session, name))
