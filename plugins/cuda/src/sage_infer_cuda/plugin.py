"""Hook plugin ``cuda``: the detector, and the backend where its devices may compute."""

from __future__ import annotations

from collections.abc import Sequence

from sage_infer_contracts.detecting.propose import backend_for_chips
from sage_infer_contracts.devices import HardwareProfile
from sage_infer_contracts.plugins import Proposal, hookimpl

from .detector import CudaDetector


@hookimpl
def sage_infer_detector() -> CudaDetector:
    """Return the detector of NVIDIA GPUs."""
    return CudaDetector()


@hookimpl
def sage_infer_propose_backend(profile: HardwareProfile) -> Sequence[Proposal]:
    """Propose the backend ``cuda`` where one of its devices may compute."""
    return backend_for_chips(profile, CudaDetector.hardware_backend)
