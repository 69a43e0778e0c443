"""The reference backend and correct ones unlike it hold every rule; coarse tolerances hide no wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

from sage_infer_conformance.running.session import Order, Outcome, run

REFERENCE = "sage_infer_conformance.kinds.backend.reference.subject:subject"
UNUSUAL = Path(__file__).with_name("unusual_backend.py")
CORRECT = (
    "one_token_blocks",
    "bare",
    "noisy",
    "noisy_and_mute",
    "pairing",
    "tardy",
    "masks_eos",
    "newest_first",
    "choosy",
    "copies_out",
)


def violated(outcome: Outcome) -> dict[str, str | None]:
    return {
        result.clause: result.witness.says if result.witness else result.reason
        for result in outcome.docket.results()
        if not result.passes
    }


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_the_reference_holds_every_rule_often_enough(seed: int) -> None:
    assert violated(run(Order(REFERENCE, kind="backend", seed=seed))) == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", CORRECT)
def test_a_correct_backend_of_another_kind_breaks_no_rule(name: str) -> None:
    outcome = run(Order(f"{UNUSUAL}:{name}", kind="backend", seed=1))
    broken = {r.clause: r.witness.says for r in outcome.docket.results() if r.witness is not None}
    assert broken == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["wrong_in_bf16", "wrong_and_mute"])
def test_a_tolerance_hides_no_wrong_implementation(name: str) -> None:
    outcome = run(Order(f"{UNUSUAL}:{name}", kind="backend", scenarios=("shapes",), until_broken="IB-01"))
    assert "IB-01" in violated(outcome)
