"""Hook plugin ``host``."""

from __future__ import annotations

from sage_infer_contracts.plugins import hookimpl

from .detector import CpuDetector


@hookimpl
def sage_infer_detector() -> CpuDetector:
    """Return the detector of the host's CPUs, memory, NUMA nodes and disks."""
    return CpuDetector()
