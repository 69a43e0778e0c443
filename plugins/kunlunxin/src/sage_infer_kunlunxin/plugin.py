"""Hook plugin ``kunlunxin``: the detector, and the backend where its devices may compute."""

from __future__ import annotations

from collections.abc import Sequence

from sage_infer_contracts.detecting.propose import backend_for_chips
from sage_infer_contracts.devices import HardwareProfile
from sage_infer_contracts.plugins import Proposal, hookimpl

from .detector import KunlunxinDetector


@hookimpl
def sage_infer_detector() -> KunlunxinDetector:
    """Return the detector of Kunlunxin's accelerators."""
    return KunlunxinDetector()


@hookimpl
def sage_infer_propose_backend(profile: HardwareProfile) -> Sequence[Proposal]:
    """Propose the backend ``kunlunxin`` where one of its devices may compute."""
    return backend_for_chips(profile, KunlunxinDetector.hardware_backend)
