"""Devices that are parts of a card: SR-IOV virtual functions, and what a container's memory limit leaves of one."""

from __future__ import annotations

import re
from collections.abc import Sequence

import attrs

from sage_infer_contracts.detecting.devices import Device
from sage_infer_contracts.detecting.ladder import Ladder
from sage_infer_contracts.detecting.text import pci_address
from sage_infer_contracts.probe import PciDevice

from .gate import VIRTUAL_FUNCTION_ID
from .parsing.records import DIVIDED

MEMORY_LIMIT = "CXPU_CONTAINER_MEMORY_LIMIT"
"""Bytes of a device that the container's runtime leaves to it; the tool then shows that much."""
FUNCTION = "SR-IOV virtual function"
_VIRTUAL_NAME = re.compile(r".*(?:-VF-| VF\b).*")
"""R200-VF-5G (XRE user guide), and P800 VF as HAMi's users show it."""
_SLOT = re.compile(r"^PCI_SLOT_NAME=(\S+)", re.MULTILINE)


def as_slice(ladder: Ladder, device: Device, card: PciDevice | None) -> Device:
    """Return the device as a slice of its card, where sysfs, its name, its PCI id or the container says it is one."""
    bdf = device.ids.bdf
    slot = _SLOT.search(ladder.file(f"/sys/bus/pci/devices/{bdf}/physfn/uevent") or "") if bdf else None
    parent = pci_address(slot[1]) if slot else None
    if parent is not None or is_virtual(device) or (card and card.device == VIRTUAL_FUNCTION_ID):
        return attrs.evolve(device, slice_of=device.slice_of or parent, features=(*device.features, FUNCTION))
    if bdf is not None and ladder.variable(MEMORY_LIMIT):
        limited = f"memory limited by {MEMORY_LIMIT}"
        return attrs.evolve(device, slice_of=bdf, features=(*device.features, limited))
    return device


def is_virtual(device: Device) -> bool:
    """Say whether a device is known for a virtual function."""
    return FUNCTION in device.features or _VIRTUAL_NAME.fullmatch(device.name or "") is not None


def with_parents(devices: Sequence[Device]) -> list[Device]:
    """Return the devices with the cards of virtual functions that sysfs did not tell, and those cards as divided.

    A virtual function shares its card's bus in the vendor's guide and in reports, so its card is known if just one
    whole device is on its bus.
    """
    whole = [one.ids.bdf for one in devices if not is_virtual(one) and one.ids.bdf is not None]
    found = []
    for device in devices:
        near = [bdf for bdf in whole if _bus(bdf) == _bus(device.ids.bdf)]
        if device.slice_of is None and is_virtual(device) and len(near) == 1:
            device = attrs.evolve(device, slice_of=near[0])
        found.append(device)
    parents = {one.slice_of for one in found if is_virtual(one)} - {None}
    return [
        attrs.evolve(one, features=(*one.features, DIVIDED))
        if one.ids.bdf in parents and DIVIDED not in one.features
        else one
        for one in found
    ]


def _bus(bdf: str | None) -> str:
    return (bdf or "").rpartition(":")[0]
