"""The suite of hardware detectors."""

from __future__ import annotations

from ..suite import Suite
from .driver import DetectorDriver
from .model import DetectorModel
from .rules import RULES, STATED
from .scenarios import SCENARIOS
from .steps import DetectorStep

SUITE = Suite(
    kind="detector",
    step_type=DetectorStep,
    make_model=DetectorModel,
    make_driver=DetectorDriver,
    rules=RULES,
    scenarios=SCENARIOS,
    stated=STATED,
    step_deadline_s=40.0,
    not_tested=(
        "whether the recordings are true to the hardware: they are the author's, and judged is what is made of them",
        "visible-device variables that the author does not name, and devices of vendors that he does not name",
    ),
)
