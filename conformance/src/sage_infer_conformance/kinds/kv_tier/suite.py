"""The suite of tiers."""

from __future__ import annotations

from ..suite import Suite
from .driver import TierDriver
from .model import TierModel
from .rules import RULES, STATED
from .scenarios import SCENARIOS
from .steps import TierStep

SUITE = Suite(
    kind="kv_tier",
    step_type=TierStep,
    make_model=TierModel,
    make_driver=TierDriver,
    rules=RULES,
    scenarios=SCENARIOS,
    stated=STATED,
    step_deadline_s=60.0,
    not_tested=(
        "loss of power: kills leave what the kernel had already taken",
        "tier.shared: two processes at one path at once",
        "memory of devices other than the host",
    ),
)
