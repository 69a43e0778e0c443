"""Plugin kinds, their entry-point groups, and references that cross process boundaries."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import pluggy
from pydantic import Field

from .backend import OptionValue
from .wire import FrozenModel, WireModel

PROJECT_NAME = "sage_infer"
hookimpl = pluggy.HookimplMarker(PROJECT_NAME)
"""Marks a plugin's hook implementations; the specifications live in the host."""


class PluginKind(StrEnum):
    """What a plugin is. The value is the middle part of its entry-point group."""

    BACKEND = "backend"
    EMBEDDING = "embedding"
    KV_TIER = "kv_tier"
    EVICTION = "eviction"
    TRANSPORT = "transport"
    DEVICE = "device"
    MODEL_SOURCE = "model_source"
    HOOKS = "hooks"
    CONFORMANCE = "conformance"
    ADMISSION = "admission"
    PREFETCH = "prefetch"
    SCHEDULING = "scheduling"

    @property
    def group(self) -> str:
        """Entry-point group; the number is the contract's major version."""
        return f"{PROJECT_NAME}.{self.value}.v1"


COMMANDS_GROUP = f"{PROJECT_NAME}.commands"
"""Lazy CLI commands; resolves to a click command."""

RESERVED_KINDS = frozenset({PluginKind.ADMISSION, PluginKind.PREFETCH, PluginKind.SCHEDULING})
"""Kinds whose group name is kept for a later contract; nothing loads from them yet."""


class PluginRef(WireModel):
    """Names exactly one plugin, so that a child process resolves the very same one (PK-07).

    The object itself never crosses a process boundary; ``config`` is what its factory is given.
    """

    kind: PluginKind
    name: str
    distribution: str
    version: str
    config: Mapping[str, OptionValue] = Field(default_factory=dict)


class Proposal(FrozenModel):
    """A hook's suggestion of a driver. The core disposes: highest score wins, ties by distribution and name."""

    kind: PluginKind
    name: str
    score: float = Field(ge=0.0, le=1.0, description="0: works at all, 1: made for this")
    reason: str = Field(min_length=1)


class DoctorLine(FrozenModel):
    """One finding that a plugin contributes to ``sage infer plugin doctor``."""

    ok: bool
    text: str
    fix: str | None = None
