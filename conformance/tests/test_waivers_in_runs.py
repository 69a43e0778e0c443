"""Waivers from end to end: a subject that prints too much, its deviations.toml, and the day it stops."""

from pathlib import Path

import pytest

from sage_infer_conformance.api import certify, examine
from sage_infer_conformance.running.session import Order
from sage_infer_contracts.certification import ClauseResult, ConformanceReport

NOISY = """\
from sage_infer_conformance.kinds.eviction.reference import ReferencePolicy

class Policy(ReferencePolicy):
    def admit(self, block):
        print("x" * 20_000)
        super().admit(block)
"""
QUIET = "from sage_infer_conformance.kinds.eviction.reference import ReferencePolicy as Policy\n"


def short_run(path: Path) -> ConformanceReport:
    return examine(Order(f"{path}:Policy", kind="eviction", scenarios=("wander",), examples_percent=5))


def of(report: ConformanceReport, clause: str) -> ClauseResult:
    return next(result for result in report.results if result.clause == clause)


def waive(folder: Path, clause: str) -> None:
    (folder / "deviations.toml").write_text(
        f'[[deviation]]\nclause = "{clause}"\nreason = "the runtime prints"\nlink = "https://example.com/17"\n'
        'expires = 2999-12-31\nwitness = "noise.jsonl"\n'
    )


@pytest.mark.slow
def test_a_should_is_waived_until_the_plugin_no_longer_breaks_it(tmp_path: Path) -> None:
    path = tmp_path / "policy.py"
    path.write_text(NOISY)
    found = of(short_run(path), "PK-08")
    assert found.verdict == "violated"
    assert found.witness is not None
    assert len(found.witness.history) > 4, "what was printed is told by a history that can be replayed"

    (tmp_path / "noise.jsonl").write_text("\n".join(found.witness.history))
    waive(tmp_path, "PK-08")
    waived = short_run(path)
    assert of(waived, "PK-08").verdict == "waived"
    assert waived.problems == ()

    path.write_text(QUIET)
    repaired = short_run(path)
    assert not repaired.passed
    assert "no longer breaks" in repaired.problems[0]


@pytest.mark.slow
def test_a_must_is_not_waived_by_a_file(tmp_path: Path) -> None:
    (tmp_path / "policy.py").write_text(QUIET)
    waive(tmp_path, "EV-01")
    report = short_run(tmp_path / "policy.py")
    assert of(report, "EV-01").verdict != "waived"
    assert "EV-01 is a MUST" in report.problems[0]


@pytest.mark.slow
def test_certify_tells_the_story_as_an_assertion(tmp_path: Path) -> None:
    path = tmp_path / "policy.py"
    path.write_text(QUIET + "class Greedy(Policy):\n    def victims(self, count):\n        return [None]\n")
    with pytest.raises(AssertionError) as caught:
        certify(f"{path}:Greedy", mode="develop")
    assert "does not hold" in str(caught.value)
    assert "    > " in str(caught.value)
