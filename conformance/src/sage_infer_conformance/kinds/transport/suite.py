"""The suite of transport engines."""

from __future__ import annotations

from ..suite import Suite
from .driver import TransportDriver
from .model import TransportModel
from .rules import RULES, STATED
from .scenarios import SCENARIOS
from .steps import TransportStep

SUITE = Suite(
    kind="transport",
    step_type=TransportStep,
    make_model=TransportModel,
    make_driver=TransportDriver,
    rules=RULES,
    scenarios=SCENARIOS,
    stated=STATED,
    step_deadline_s=60.0,
    not_tested=(
        "how fast it is, and whether the figures of link_profile are right: that needs a link of known speed",
        "a check of the credential on one side only, where the other side refuses the same peer",
        "whether a listener in the middle can read or change bytes: both ends of the kit are on one machine",
        "memory of devices other than the host's",
    ),
)
