"""Hook marker, and references to plugins that cross process boundaries."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pluggy
from pydantic import Field

from .backend import OptionValue
from .kinds import (
    COMMANDS_GROUP as COMMANDS_GROUP,
    PROJECT_NAME as PROJECT_NAME,
    RESERVED_KINDS as RESERVED_KINDS,
    PluginKind as PluginKind,
)
from .wire import FrozenModel, WireModel

hookimpl = pluggy.HookimplMarker(PROJECT_NAME)
"""Marks a plugin's hook implementations; the specifications live in the host."""


Observer = Callable[[str, Mapping[str, object]], None]
"""Called with an event's name and fields on the thread where it happened; must return quickly."""


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
