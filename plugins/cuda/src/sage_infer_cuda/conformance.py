"""What the conformance kit judges this distribution by: the detector, on generated machines."""

from __future__ import annotations

from sage_infer_contracts.testing import Subject

from .detector import PCI_VENDOR, CudaDetector
from .simulated.machines import recorded_machines
from .visible import DEVICES

DETECTOR = Subject(
    "detector",
    CudaDetector,
    facts={
        "pci_vendors": PCI_VENDOR,
        "pci_classes": "0300,0302",
        "visible_variables": DEVICES,
        "visible_uuids": True,
    },
    fixtures=recorded_machines,
)
