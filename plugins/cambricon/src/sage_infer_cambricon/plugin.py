"""Hook plugin ``cambricon``: the detector, and the backend where its devices may compute."""

from __future__ import annotations

from collections.abc import Sequence

from sage_infer_contracts.detecting.propose import backend_for_chips
from sage_infer_contracts.devices import HardwareProfile
from sage_infer_contracts.plugins import Proposal, hookimpl

from .detector import CambriconDetector


@hookimpl
def sage_infer_detector() -> CambriconDetector:
    """Return the detector of Cambricon MLU devices."""
    return CambriconDetector()


@hookimpl
def sage_infer_propose_backend(profile: HardwareProfile) -> Sequence[Proposal]:
    """Propose the backend ``cambricon`` where one of its devices may compute."""
    return backend_for_chips(profile, CambriconDetector.hardware_backend)
