"""The suite of embedding backends."""

from __future__ import annotations

from ..suite import Suite
from .driver import EmbeddingDriver
from .model import EmbeddingModel
from .rules import RULES, STATED
from .scenarios import SCENARIOS
from .steps import EmbeddingStep

SUITE = Suite(
    kind="embedding",
    step_type=EmbeddingStep,
    make_model=EmbeddingModel,
    make_driver=EmbeddingDriver,
    rules=RULES,
    scenarios=SCENARIOS,
    stated=STATED,
    step_deadline_s=300.0,
    memory_limit_bytes=16 * 1024**3,
    spawns=True,
    not_tested=(
        "how good the vectors are: what a model knows of a text is its own matter",
        "that at most batch_size texts are on the device at a time: it does not show from outside",
    ),
)
