"""The native embedding backend is certified on the demo model."""

from __future__ import annotations

import pytest
from certificates import certified

pytestmark = [pytest.mark.engine, pytest.mark.slow]


def test_the_embedding_backend_is_certified() -> None:
    verdicts = {result.verdict for result in certified("torch-embedding").results}
    assert verdicts == {"held"}
