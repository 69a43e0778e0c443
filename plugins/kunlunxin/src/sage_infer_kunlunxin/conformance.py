"""What the conformance kit judges this distribution by: the detector, on simulated machines of every generation."""

from __future__ import annotations

from sage_infer_contracts.testing import Subject

from .detector import KunlunxinDetector
from .gate import CLASSES, VENDORS
from .simulated.machines import recorded_machines
from .visible import VARIABLES

DETECTOR = Subject(
    "detector",
    KunlunxinDetector,
    facts={
        "pci_vendors": ",".join(VENDORS),
        "pci_classes": ",".join(CLASSES),
        "visible_variables": ",".join(VARIABLES),
    },
    fixtures=recorded_machines,
)
