"""Tolerances that a coarse format needs hide no wrong implementation."""

from __future__ import annotations

from pathlib import Path

import pytest

from sage_infer_conformance.running.session import Order, run

UNUSUAL = Path(__file__).with_name("unusual_backend.py")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["wrong_in_bf16", "wrong_and_mute"])
def test_a_tolerance_hides_no_wrong_implementation(name: str) -> None:
    outcome = run(Order(f"{UNUSUAL}:{name}", kind="backend", scenarios=("shapes",), until_broken="IB-01"))
    assert outcome.docket.is_broken("IB-01")
