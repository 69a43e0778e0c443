"""The suite of hybrid backends."""

from __future__ import annotations

from ..suite import Suite
from .driver import HybridDriver
from .model import HybridModel
from .rules import RULES, STATED
from .scenarios import SCENARIOS
from .steps import HybridStep

SUITE = Suite(
    kind="hybrid",
    step_type=HybridStep,
    make_model=HybridModel,
    make_driver=HybridDriver,
    rules=RULES,
    scenarios=SCENARIOS,
    stated=STATED,
    step_deadline_s=300.0,
    memory_limit_bytes=32 * 1024**3,
    not_tested=(
        "fairness between generation and embedding: how a device is shared is the policy's own",
        "the whole contract of each model: certify it alone too; here it is held against what it answers alone",
    ),
)
