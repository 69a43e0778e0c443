"""Mode soak: a time budget, new seeds, and a corpus that grows and is replayed first."""

import time
from pathlib import Path

import pytest

from sage_infer_conformance.running.session import Order
from sage_infer_conformance.running.soak import soak
from sage_infer_contracts.errors import InvalidRequest

REFERENCE = "sage_infer_conformance.kinds.eviction.reference:ReferencePolicy"
MUTANT = "sage_infer_conformance.mutants.eviction:MUTANTS.AsManyAsThereAre"


def order(subject: str, seconds: float) -> Order:
    return Order(subject, mode="soak", scenarios=("wander",), seconds=seconds, until_broken="EV-02")


@pytest.mark.slow
def test_soak_keeps_what_breaks_a_rule_and_replays_it_first(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    assert soak(order(MUTANT, 120), corpus).docket.is_broken("EV-02")
    kept = sorted(corpus.iterdir())
    assert [path.name[:6] for path in kept] == ["EV-02-"] * len(kept)
    assert kept

    told: list[str] = []
    again = soak(order(MUTANT, 0), corpus, told.append)
    assert again.docket.is_broken("EV-02"), "found by the corpus alone: there was no time for more"
    assert told[0] == f"corpus 1 of {len(kept)}"
    assert not soak(order(REFERENCE, 0), corpus).docket.is_broken("EV-02")


@pytest.mark.slow
def test_soak_ends_in_time_and_goes_through_several_seeds() -> None:
    told: list[str] = []
    began = time.monotonic()
    outcome = soak(
        Order(REFERENCE, mode="soak", scenarios=("wander",), seconds=12, examples_percent=8),
        None,
        told.append,
    )
    assert time.monotonic() - began < 60
    assert outcome.docket.broken_clauses() == ()
    assert {text.split(":")[0] for text in told} >= {"turn 1", "turn 2"}


def test_a_corpus_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"kind": "kv_tier"}\n')
    with pytest.raises(InvalidRequest, match="of kind kv_tier"):
        soak(order(REFERENCE, 0), tmp_path)
