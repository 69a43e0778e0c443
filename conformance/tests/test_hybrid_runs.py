"""Whole runs over hybrids: what is correct passes with any seed."""

import pytest

from sage_infer_conformance.running.session import Order, Outcome, run

REFERENCE = "sage_infer_conformance.kinds.hybrid.reference:ReferenceHybrid"
UNUSUAL = (
    "RefusesWhileBusy", "QueuesDuringUnloads", "LoadsInTheBackground", "MakesRoom", "KeepsAPool", "NoNumbersAtRest",
)  # fmt: skip


def verdicts(outcome: Outcome) -> dict[str, str]:
    return {
        result.clause: result.verdict
        for result in outcome.docket.results()
        if result.clause[:2] in ("HB", "PK")
    }


def broken(outcome: Outcome) -> dict[str, object]:
    judged = [result for result in outcome.docket.results() if result.clause[:2] in ("HB", "PK")]
    return {result.clause: result.witness or result.reason for result in judged if not result.passes}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_the_reference_holds_every_rule(seed: int) -> None:
    assert broken(run(Order(REFERENCE, kind="hybrid", seed=seed))) == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", UNUSUAL)
def test_an_unusual_hybrid_holds_every_rule(name: str) -> None:
    subject = f"{__file__.rpartition('/')[0]}/unusual_hybrid.py:{name}"
    assert broken(run(Order(subject, kind="hybrid"))) == {}


@pytest.mark.slow
def test_a_hybrid_of_fixed_models_refuses_to_load_and_is_not_judged_by_what_it_does_not_declare() -> None:
    subject = f"{__file__.rpartition('/')[0]}/unusual_hybrid.py:Fixed"
    found = verdicts(run(Order(subject, kind="hybrid")))
    assert "violated" not in found.values()
    assert found["HB-03"] == "refused"
