"""Hardware abstraction: a live probe, detection in child processes, and questions about the profile they give."""

from .detect import Detection, DetectorRun, detect_hardware
from .probe import LiveProbe
from .queries import links_between, memory_tiers_for, numa_of

__all__ = [
    "Detection",
    "DetectorRun",
    "LiveProbe",
    "detect_hardware",
    "links_between",
    "memory_tiers_for",
    "numa_of",
]
