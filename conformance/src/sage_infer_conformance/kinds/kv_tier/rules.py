"""KV-01 to KV-10. The floors are about a third of what certify yields on a tier in memory."""

from __future__ import annotations

from ...judging.rules import Rule, Stated
from .block_rules import apart, exact_bytes, never_torn, wholly_visible
from .tier_rules import (
    adds_up,
    ends_by_deadline,
    losses_reported,
    only_its_regions,
    survives,
    within_capacity,
)

RULES = (
    Rule("KV-01", "sampled", 1, exact_bytes),
    Rule("KV-02", "sampled", 1, wholly_visible),
    Rule("KV-03", "sampled", 1, within_capacity),
    Rule("KV-04", "sampled", 1, never_torn),
    Rule("KV-05", "timed", 1, ends_by_deadline),
    Rule("KV-06", "sampled", 1, adds_up),
    Rule("KV-07", "sampled", 1, losses_reported),
    Rule("KV-08", "sampled", 1, apart),
    Rule("KV-09", "sampled", 1, only_its_regions),
    Rule("KV-10", "sampled", 1, survives),
)
STATED: tuple[Stated, ...] = ()
