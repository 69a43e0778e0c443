"""``xpu-smi -L``: one line a device.

Three spellings are known: ``XPU 0: P800 OAM  GPU-...`` (an environment report), ``XPU 0: P800 OAM (UUID: GPU-...)``
(modelscope's twinkle) and ``XPU 0: 00000000:21:00.0`` (zstack-utility).
"""

from __future__ import annotations

import re

from sage_infer_contracts.detecting.devices import Device
from sage_infer_contracts.detecting.text import lines, pci_address, whole
from sage_infer_contracts.devices import DeviceIds

from .records import Reading, last_fragment, once, torn_row, uuid

SOURCE = "xpu-smi -L"
_LINE = re.compile(r"\s*XPU\s+([0-9]{1,5})\s*:\s*(\S.*)", re.ASCII)
_BEGINS = re.compile(r"\s*XPU\s+[0-9]{1,5}\s*:", re.ASCII)
_LABEL = re.compile(r"\(?UUID:|[()]", re.IGNORECASE)


def parse_listing(text: str) -> Reading:
    """Read the lines that give an index and a UUID or an address."""
    found: list[Device] = []
    torn: list[str] = []
    for line in (*lines(text), *last_fragment(text)):
        device = _device(line)
        if device is not None:
            found.append(device)
        elif _BEGINS.match(line):
            torn.append(torn_row(line))
    return Reading(once(found), torn=tuple(torn))


def _device(line: str) -> Device | None:
    match = _LINE.fullmatch(line)
    if match is None:
        return None
    words = _LABEL.sub(" ", match[2]).split()
    names = [word for word in words if uuid(word) is None and pci_address(word) is None]
    found_uuid = next((found for word in words if (found := uuid(word)) is not None), None)
    bdf = next((found for word in words if (found := pci_address(word)) is not None), None)
    if found_uuid is None and bdf is None:
        return None
    return Device(
        ids=DeviceIds(index=whole(match[1]), uuid=found_uuid, bdf=bdf), name=" ".join(names) or None
    )
