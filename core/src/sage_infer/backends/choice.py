"""``--backend auto``: the name that the installed hooks propose for this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .plan import BackendKind

if TYPE_CHECKING:
    from sage_infer.plugins import Registry
    from sage_infer.plugins.choice import Candidate


def choose_name(kind: BackendKind, registry: Registry) -> Candidate:
    """Detect this machine's hardware and return the best proposal; blocks while detectors run.

    Raises ``PluginNotFound`` that says why each candidate was rejected, or that none was proposed.
    """
    from sage_infer.hal import detect_hardware

    return registry.choose(kind, detect_hardware(registry).profile).require()
