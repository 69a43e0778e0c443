"""Hook plugin ``ascend``: the detector, and the backend where its devices may compute."""

from __future__ import annotations

from collections.abc import Sequence

from sage_infer_contracts.detecting.propose import backend_for_chips
from sage_infer_contracts.devices import HardwareProfile
from sage_infer_contracts.plugins import Proposal, hookimpl

from .detector import AscendDetector


@hookimpl
def sage_infer_detector() -> AscendDetector:
    """Return the detector of Ascend NPUs."""
    return AscendDetector()


@hookimpl
def sage_infer_propose_backend(profile: HardwareProfile) -> Sequence[Proposal]:
    """Propose the backend ``ascend`` where one of its devices may compute."""
    return backend_for_chips(profile, AscendDetector.hardware_backend)
