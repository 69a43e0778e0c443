"""Every plugin that ships and needs no engine is certified. Those of the engines lie with the engines."""

from __future__ import annotations

import pytest
from certificates import certified

pytestmark = pytest.mark.slow


# In pairs that take about the same time: a worker is given two.
@pytest.mark.parametrize("name", ["tcp", "lru", "shm", "host", "ssd", "dram"])
def test_it_holds_every_clause_of_its_kind(name: str) -> None:
    assert {result.verdict for result in certified(name).results} <= {"held", "refused", "stated"}
