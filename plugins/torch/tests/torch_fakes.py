"""Sequences without a model, for tests of the scheduler and the leases."""

from __future__ import annotations

from typing import Any

from sage_infer_contracts.sampling import SamplingParams
from sage_infer_torch.sequence import Sequence, new_probe


def sequence(tokens: int, *, first: int = 0, arrival: int = 0, **fields: Any) -> Sequence:
    """Return a sequence whose prompt is ``first, first + 1, ...``."""
    made = new_probe(list(range(first, first + tokens)), [])
    made.params = SamplingParams()
    made.arrival = arrival
    made.max_total_tokens = 10**6
    for name, value in fields.items():
        setattr(made, name, value)
    return made
