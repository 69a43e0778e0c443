"""The suite of inference backends."""

from __future__ import annotations

from ..suite import Suite
from .driver import BackendDriver
from .model import BackendModel
from .rules.table import RULES, STATED
from .scenarios.table import SCENARIOS
from .steps import BackendStep
from .waiting import MEMORY_LIMIT_BYTES

SUITE = Suite(
    kind="backend",
    step_type=BackendStep,
    make_model=BackendModel,
    make_driver=BackendDriver,
    rules=RULES,
    scenarios=SCENARIOS,
    stated=STATED,
    step_deadline_s=300.0,
    memory_limit_bytes=MEMORY_LIMIT_BYTES,
    spawns=True,
    not_tested=(
        "the quality of outputs: whether the model's text is any good is no matter of the contract",
        "memory of a device after close: what this process holds is looked at, not what a driver keeps",
        "shm:// locations, adapters, several devices",
    ),
)
