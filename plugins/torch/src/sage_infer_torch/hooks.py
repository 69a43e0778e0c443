"""What the native engine proposes where a backend is chosen automatically, and what it tells the doctor."""

from __future__ import annotations

from collections.abc import Sequence

from sage_infer_contracts.devices import HardwareProfile
from sage_infer_contracts.plugins import DoctorLine, PluginKind, Proposal, hookimpl

from .versions import TORCH, TRANSFORMERS, untested


@hookimpl
def sage_infer_propose_backend(profile: HardwareProfile) -> Sequence[Proposal]:
    """Propose the engine on the host's CPU, at a score that a backend made for a found chip beats."""
    if profile.host is None:
        return []
    reason = f"runs on any CPU; {profile.host.usable_cpus:g} usable here"
    return [Proposal(kind=PluginKind.BACKEND, name="torch", score=0.2, reason=reason)]


@hookimpl
def sage_infer_doctor() -> Sequence[DoctorLine]:
    """Say which frameworks were not tested in the installed version; they may work, so nothing is refused."""
    found = untested()
    if not found:
        names = f"{TORCH.distribution} and {TRANSFORMERS.distribution}"
        return [DoctorLine(ok=True, text=f"{names} are installed, inside the tested windows")]
    return [DoctorLine(ok=True, text=text) for text in found]
