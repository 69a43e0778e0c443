"""The native engine is certified on the demo model, and its tier with a CPU standing in for a device."""

from __future__ import annotations

import pytest
from certificates import certified

pytestmark = [pytest.mark.engine, pytest.mark.slow]


def test_the_backend_is_certified() -> None:
    verdicts = {result.clause: result.verdict for result in certified("torch").results}
    refused = {clause for clause, verdict in verdicts.items() if verdict == "refused"}
    assert refused == {"IB-09"}, "quantisation is not declared; all else is held"
    assert verdicts["IB-08"] == "held"


def test_the_hbm_tier_is_certified_with_a_cpu_standing_in() -> None:
    certificate = certified("hbm")
    verdicts = {result.clause: result.verdict for result in certificate.results}
    assert {clause for clause, verdict in verdicts.items() if verdict == "refused"} == {"KV-10"}
    assert certificate.subject.device == "cpu, standing in for an accelerator"
