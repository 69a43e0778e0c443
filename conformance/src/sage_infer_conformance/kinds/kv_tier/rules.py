"""KV-01 to KV-10. The floors are about a third of what certify yields on a tier in memory."""

from __future__ import annotations

from collections.abc import Iterable

from ...judging.rules import Check, Judge, Rule, Stated
from .block_rules import apart, exact_bytes, never_torn, wholly_visible
from .model import TierModel, hurried
from .steps import TierStep
from .tier_rules import (
    adds_up,
    ends_by_deadline,
    losses_reported,
    only_its_regions,
    survives,
    within_capacity,
)

_FIXED = frozenset({"together", "crash", "reopen"})
"""These are judged as often as is asked, whatever comes of them."""


def _counted(judge: Judge[TierModel, TierStep]) -> Judge[TierModel, TierStep]:
    """Count what the same seed gives again; where timing decides, only what is broken is told."""

    def judged(model: TierModel, step: TierStep) -> Iterable[Check]:
        loose = (model.unsteady or hurried(step)) and step.command.op not in _FIXED
        return (one for one in judge(model, step) if one.says is not None or not loose)

    return judged


RULES = (
    Rule("KV-01", "sampled", 350, _counted(exact_bytes)),
    Rule("KV-02", "sampled", 1_400, _counted(wholly_visible)),
    Rule("KV-03", "sampled", 3_600, _counted(within_capacity)),
    Rule("KV-04", "sampled", 1_400, _counted(never_torn)),
    Rule("KV-05", "timed", 2_800, ends_by_deadline),
    Rule("KV-06", "sampled", 500, _counted(adds_up)),
    Rule("KV-07", "sampled", 360, _counted(losses_reported)),
    Rule("KV-08", "sampled", 850, _counted(apart)),
    Rule("KV-09", "sampled", 1_400, only_its_regions),
    Rule("KV-10", "sampled", 500, _counted(survives)),
)
STATED: tuple[Stated, ...] = ()
