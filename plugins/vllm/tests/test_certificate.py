"""The adapter is certified on a real vLLM with the demo model."""

from __future__ import annotations

import pytest
from certificates import certified

pytestmark = [pytest.mark.engine, pytest.mark.slow]


def test_the_backend_is_certified() -> None:
    verdicts = {result.clause: result.verdict for result in certified("vllm").results}
    refused = {clause for clause, verdict in verdicts.items() if verdict == "refused"}
    assert refused == {"IB-09"}, "quantisation is not declared; all else is held"
    assert verdicts["IB-08"] == "held"
