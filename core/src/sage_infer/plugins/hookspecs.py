"""What a plugin under ``sage_infer.hooks.v1`` may contribute, one specification per kind.

Hooks run at set-up, once per plugin, and only propose: the core disposes. A plugin is a module or an object whose
functions carry ``sage_infer_contracts.plugins.hookimpl``. Names beginning with ``sage_infer_`` are reserved for the
specifications here; a plugin that marks any other name is refused. What a hook raises is recorded against its plugin.
"""

from __future__ import annotations

from collections.abc import Sequence

import pluggy

from sage_infer_contracts.detection import HardwareDetector
from sage_infer_contracts.devices import HardwareProfile
from sage_infer_contracts.kinds import PROJECT_NAME, PluginKind
from sage_infer_contracts.plugins import DoctorLine, Observer, Proposal

HOOK_PREFIX = "sage_infer_"
hookspec = pluggy.HookspecMarker(PROJECT_NAME)


@hookspec
def sage_infer_detector() -> HardwareDetector:  # type: ignore[empty-body]
    """Return the detector of one vendor's hardware. Nothing is detected in this call: core runs it in a child."""


@hookspec
def sage_infer_propose_backend(profile: HardwareProfile) -> Sequence[Proposal]:  # type: ignore[empty-body]
    """Propose ``InferenceBackend`` plugins for a machine, each with a score and a reason; nothing: ``[]``."""


@hookspec
def sage_infer_propose_kv_tier(profile: HardwareProfile) -> Sequence[Proposal]:  # type: ignore[empty-body]
    """Propose ``KVStoreTier`` plugins for a machine."""


@hookspec
def sage_infer_propose_eviction(profile: HardwareProfile) -> Sequence[Proposal]:  # type: ignore[empty-body]
    """Propose ``EvictionPolicy`` plugins for a machine."""


@hookspec
def sage_infer_propose_transport(profile: HardwareProfile) -> Sequence[Proposal]:  # type: ignore[empty-body]
    """Propose ``TransportEngine`` plugins for a machine."""


@hookspec
def sage_infer_observers() -> Sequence[Observer]:  # type: ignore[empty-body]
    """Return observers of the host's events; they join a plain list and never pass through pluggy again.

    Events: ``request_ended`` (one per sequence, with ids, model, type, how it ended, token counts, duration).
    """


@hookspec
def sage_infer_doctor() -> Sequence[DoctorLine]:  # type: ignore[empty-body]
    """Return findings for ``sage infer plugin doctor``. Runs in a child process with a deadline."""


PROPOSE_HOOKS: dict[PluginKind, str] = {
    PluginKind.BACKEND: "sage_infer_propose_backend",
    PluginKind.KV_TIER: "sage_infer_propose_kv_tier",
    PluginKind.EVICTION: "sage_infer_propose_eviction",
    PluginKind.TRANSPORT: "sage_infer_propose_transport",
}
"""Kinds that hooks may propose drivers for."""
