"""The suite of eviction policies."""

from __future__ import annotations

from ..suite import Suite
from .driver import EvictionDriver
from .model import EvictionModel
from .rules import RULES, STATED
from .scenarios import SCENARIOS
from .steps import EvictionStep

SUITE = Suite(
    kind="eviction",
    step_type=EvictionStep,
    make_model=EvictionModel,
    make_driver=EvictionDriver,
    rules=RULES,
    scenarios=SCENARIOS,
    stated=STATED,
    not_tested=("how good the policy is: hit rates are a matter of workloads, not of the contract",),
)
