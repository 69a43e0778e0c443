"""What ``sage infer plugin new`` starts an author with holds every rule of its kind."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sage_infer_conformance.running.session import Order, run
from sage_infer_contracts.testing import SubjectKind

TEMPLATES = Path(__file__).parents[2] / "plugins" / "_template"
FILLED = {"CLASS": "Fresh", "NAME": "fresh"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["eviction", "kv_tier", "transport", "detector", "embedding"])
def test_a_scaffold_starts_with_every_rule_held(kind: SubjectKind, tmp_path: Path) -> None:
    text = (TEMPLATES / kind / "plugin.py.tmpl").read_text(encoding="utf-8")
    (tmp_path / "fresh.py").write_text(
        re.sub("@@([A-Z]+)@@", lambda mark: FILLED[mark[1]], text), encoding="utf-8"
    )
    outcome = run(Order(f"{tmp_path / 'fresh.py'}:Fresh", kind=kind))
    assert [result for result in outcome.docket.results() if not result.passes] == []
