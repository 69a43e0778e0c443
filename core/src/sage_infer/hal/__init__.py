"""Hardware abstraction: a live probe, detection in child processes, and questions about the profile they give."""

from .detect import Detection, DetectorRun, detect_hardware, detect_machines
from .detection_cache import AgedDetection, DetectionCache
from .distance import Distance, DistanceMatrix, distance_matrix
from .gpu_manager import DeviceStatus, GPUManager, MachineStatus
from .probe import LiveProbe
from .queries import links_between, memory_tiers_for, numa_of
from .reservations import Hold, Reservation, ReservationBook

__all__ = [
    "AgedDetection",
    "Detection",
    "DetectionCache",
    "DetectorRun",
    "DeviceStatus",
    "Distance",
    "DistanceMatrix",
    "GPUManager",
    "Hold",
    "LiveProbe",
    "MachineStatus",
    "Reservation",
    "ReservationBook",
    "detect_hardware",
    "detect_machines",
    "distance_matrix",
    "links_between",
    "memory_tiers_for",
    "numa_of",
]
