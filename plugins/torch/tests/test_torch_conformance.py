"""The conformance kit on the native engine and a real model: faults are found there too."""

from __future__ import annotations

from pathlib import Path

import pytest

from sage_infer_conformance.running.session import Order, run

pytestmark = [pytest.mark.engine, pytest.mark.slow]
MUTANTS = Path(__file__).with_name("torch_mutants.py")


@pytest.mark.parametrize(
    ("name", "clause", "scenario"),
    [
        ("drops_last_token", "IB-06", "requests"),
        ("computes_on", "IB-04", "cancels"),
        ("forgets_seeds", "IB-11", "requests"),
    ],
)
def test_a_broken_engine_is_found_out_on_the_real_model(
    name: str, clause: str, scenario: str, model_path: str
) -> None:
    subject = f"{MUTANTS}:{name}?model={model_path}"
    outcome = run(Order(subject, kind="backend", scenarios=(scenario,), until_broken=clause))
    (verdict,) = (result for result in outcome.docket.results() if result.clause == clause)
    assert verdict.verdict == "violated", verdict
