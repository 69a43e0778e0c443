"""A short run over the reference transport, quick enough for every run of the tests."""

from sage_infer_conformance.running.session import Order, run

REFERENCE = "sage_infer_conformance.kinds.transport.reference:ReferenceTransport"


def test_a_few_histories_of_the_reference_hold() -> None:
    scenarios = ("crowd", "fence", "strangers", "late")
    outcome = run(Order(REFERENCE, kind="transport", scenarios=scenarios, examples_percent=20))
    assert [r.clause for r in outcome.docket.results(floors=False) if r.verdict == "violated"] == []
    assert outcome.docket.histories >= 4
