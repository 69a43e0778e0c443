"""What this package tells core without importing vLLM: a doctor line, and a proposal for automatic choice."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from sage_infer_contracts.devices import HardwareProfile
from sage_infer_contracts.errors import DeviceUnavailable, PluginIncompatible
from sage_infer_contracts.plugins import DoctorLine, PluginKind, Proposal, hookimpl

from .versions import installed_version, require_tested


@hookimpl
def sage_infer_propose_backend(profile: HardwareProfile) -> Sequence[Proposal]:
    """Propose vLLM on the host's CPU where it is installed, below the native engine, which starts faster there.

    On a chip the chip's own package proposes, because it knows which build and plan that needs.
    """
    if profile.host is None or find_spec("vllm") is None:
        return []
    return [Proposal(kind=PluginKind.BACKEND, name="vllm", score=0.1, reason="vLLM is installed")]


@hookimpl
def sage_infer_doctor() -> Sequence[DoctorLine]:
    """Say which vLLM is installed and whether it was tested with this adapter."""
    try:
        found = installed_version()
        require_tested(found, override=False)
    except (DeviceUnavailable, PluginIncompatible) as error:
        return [DoctorLine(ok=not isinstance(error, PluginIncompatible), text=str(error))]
    return [DoctorLine(ok=True, text=f"vLLM {found} is installed, inside the tested window")]
