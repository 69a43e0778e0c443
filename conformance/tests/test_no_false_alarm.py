"""What is correct passes, however it works and whatever the seed; and the same seed finds the same again.

One seed finds what is wrong now; ``SAGE_KIT_SEEDS=20``, outside CI, shows that no seed raises a false alarm.
"""

from __future__ import annotations

import os

import pytest
from correct_subjects import REFERENCES, SHIPPED, UNUSUAL, pairs, unusual

from sage_infer_conformance.running.session import Order, Outcome, run
from sage_infer_contracts.testing import SubjectKind

pytestmark = pytest.mark.slow
SEEDS = range(int(os.environ.get("SAGE_KIT_SEEDS", "1")))


def short(value: object) -> str | None:
    return value.rpartition("/")[2].rpartition(".")[2] if isinstance(value, str) else None


def amiss(outcome: Outcome) -> dict[str, str | None]:
    return {
        result.clause: result.witness.says if result.witness is not None else result.reason
        for result in outcome.docket.results()
        if not result.passes
    }


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("kind", "subject"), pairs(REFERENCES, SHIPPED), ids=short)
def test_a_reference_and_what_ships_pass_with_evidence_to_spare(
    kind: SubjectKind, subject: str, seed: int
) -> None:
    assert amiss(run(Order(subject, kind=kind, seed=seed))) == {}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("kind", "subject"), pairs(UNUSUAL), ids=short)
def test_a_correct_subject_may_work_as_it_likes(kind: SubjectKind, subject: str, seed: int) -> None:
    assert amiss(run(Order(subject, kind=kind, seed=seed))) == {}


@pytest.mark.parametrize(
    ("kind", "name", "clause", "verdict"),
    [
        ("transport", "CopiesAtOnce", "TE-05", "refused"),
        ("hybrid", "Fixed", "HB-03", "refused"),
        ("detector", "NO_MACHINES", "HD-04", "thin"),
    ],
)
def test_of_what_a_subject_does_not_have_nothing_is_claimed(
    kind: SubjectKind, name: str, clause: str, verdict: str
) -> None:
    verdicts = {it.clause: it.verdict for it in run(Order(unusual(kind, name), kind=kind)).docket.results()}
    assert "violated" not in verdicts.values()
    assert verdicts[clause] == verdict


@pytest.mark.parametrize(("kind", "subject"), pairs(REFERENCES), ids=short)
def test_the_same_seed_gives_the_same_verdicts_and_counts(kind: SubjectKind, subject: str) -> None:
    one, other = (run(Order(subject, kind=kind)).docket.results() for _ in range(2))
    assert [counted(result) for result in one] == [counted(result) for result in other]


def counted(result: object) -> tuple[object, ...]:
    names = ("clause", "verdict", "evaluations", "refusals")
    return tuple(getattr(result, name) for name in names)
