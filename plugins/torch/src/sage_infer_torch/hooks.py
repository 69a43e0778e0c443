"""What the native engine proposes where a backend is chosen automatically."""

from __future__ import annotations

from collections.abc import Sequence

from sage_infer_contracts.devices import HardwareProfile
from sage_infer_contracts.plugins import PluginKind, Proposal, hookimpl


@hookimpl
def sage_infer_propose_backend(profile: HardwareProfile) -> Sequence[Proposal]:
    """Propose the engine on the host's CPU, at a score that a backend made for a found chip beats."""
    if profile.host is None:
        return []
    reason = f"runs on any CPU; {profile.host.usable_cpus:g} usable here"
    return [Proposal(kind=PluginKind.BACKEND, name="torch", score=0.2, reason=reason)]
