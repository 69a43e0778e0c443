"""Whole runs over transports: what is correct passes with any seed, however it works."""

from pathlib import Path

import pytest

from sage_infer_conformance.running.session import Order, Outcome, run

REFERENCE = "sage_infer_conformance.kinds.transport.reference:ReferenceTransport"
UNUSUAL = ("OneAtATime", "Staging", "OpaqueHandles", "NeverCancelled", "CopiesAtOnce")


def broken(outcome: Outcome) -> dict[str, object]:
    results = outcome.docket.results()
    judged = ("TE", "PK-04", "PK-05", "PK-08")
    return {r.clause: r.witness or r.reason for r in results if r.clause.startswith(judged) and not r.passes}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_the_reference_holds_every_rule(seed: int) -> None:
    assert broken(run(Order(REFERENCE, kind="transport", seed=seed))) == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", UNUSUAL)
def test_an_unusual_transport_holds_every_rule(name: str) -> None:
    subject = f"{Path(__file__).parent}/unusual_transport.py:{name}"
    outcome = run(Order(subject, kind="transport", seed=len(name)))
    assert broken(outcome) == {}
    verdict = {r.clause: r.verdict for r in outcome.docket.results()}["TE-05"]
    assert verdict == ("refused" if name == "CopiesAtOnce" else "held")


def test_a_few_histories_of_the_reference_hold() -> None:
    scenarios = ("crowd", "fence", "strangers", "late")
    outcome = run(Order(REFERENCE, kind="transport", scenarios=scenarios, examples_percent=20))
    assert [r.clause for r in outcome.docket.results(floors=False) if r.verdict == "violated"] == []
    assert outcome.docket.histories >= 4
