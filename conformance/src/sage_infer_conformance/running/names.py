"""The full name of a subject: what a user typed, and after a ``?`` what it is to be made with.

``my-tier?path=/data&size=3`` passes two options on; ``--kind`` and ``--device`` stand there too. A process that has
the full name finds the same subject, made the same way.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, urlencode

import attrs

from sage_infer_contracts.backend import OptionValue
from sage_infer_contracts.errors import InvalidRequest

_KIND, _DEVICE = "--kind", "--device"


@attrs.frozen(slots=True)
class FullName:
    """A subject's name and all that belongs to it."""

    bare: str
    options: Mapping[str, OptionValue] = attrs.field(factory=dict)
    kind: str | None = None
    device: str | None = None

    @classmethod
    def read(cls, text: str) -> FullName:
        """Take a full name apart; one without a ``?`` is bare."""
        bare, _, query = text.partition("?")
        pairs = dict(parse_qsl(query, keep_blank_values=True))
        kind, device = pairs.pop(_KIND, None), pairs.pop(_DEVICE, None)
        return cls(bare, {key: read_value(value) for key, value in pairs.items()}, kind, device)

    def spelled_options(self) -> list[str]:
        """Return each option as ``key=value``."""
        return [f"{key}={_spell_value(value)}" for key, value in self.options.items()]

    def __str__(self) -> str:
        special = {_KIND: self.kind, _DEVICE: self.device}
        pairs = {key: _spell_value(value) for key, value in self.options.items()}
        pairs |= {key: value for key, value in special.items() if value is not None}
        return self.bare + (f"?{urlencode(pairs, quote_via=quote, safe='/:')}" if pairs else "")


def read_value(text: str) -> OptionValue:
    """Read a number, ``true``, ``false`` or ``null`` as JSON does; anything else is text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if value is None or isinstance(value, (str, int, float, bool)) else text


def read_setting(text: str) -> tuple[str, OptionValue]:
    """Read ``key=value``; raises ``InvalidRequest`` on anything else."""
    key, equals, value = text.partition("=")
    if not equals or not key or key.startswith("--"):
        raise InvalidRequest(f"{text!r} is not KEY=VALUE", param="set")
    return key, read_value(value)


def _spell_value(value: OptionValue) -> str:
    ambiguous = isinstance(value, str) and read_value(value) != value
    return value if isinstance(value, str) and not ambiguous else json.dumps(value)
