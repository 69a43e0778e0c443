"""What the conformance kit judges this distribution by: the detector, on machines written from the tools' formats."""

from __future__ import annotations

from sage_infer_contracts.detecting.ladder import ACCELERATOR_CLASSES
from sage_infer_contracts.testing import Subject

from .detector import PCI_VENDOR, VISIBLE, VISIBLE_FIRST, CambriconDetector
from .simulated.machines import machines

DETECTOR = Subject(
    "detector",
    CambriconDetector,
    facts={
        "pci_vendors": PCI_VENDOR,
        "pci_classes": ",".join(ACCELERATOR_CLASSES),
        "visible_variables": f"{VISIBLE},{VISIBLE_FIRST}",
        "visible_uuids": True,
    },
    fixtures=machines,
)
