"""``xpu_smi`` of the K and R series: a table DEVICES, one row a device; K200 shows two devices at one address.

Formats: PaddlePaddle's installation page for Kunlun (R300 with runtime 4.31, K200 with 4.0) and Kunlunxin's XRE user
guide, whose table has more columns, among them State (N for normal, E for error), and shows virtual functions as models
``R200-VF-5G`` beside their card ``R200-PF``. Two more tables, VIDEO and PROCESSES, begin with the same title; only
DEVICES has PCI addresses and device nodes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import attrs

from sage_infer_contracts.detecting.devices import Device
from sage_infer_contracts.detecting.text import lines, pci_address, percent, whole
from sage_infer_contracts.devices import DeviceIds, HealthState

from .records import Reading, last_level, once, pair, torn_row, version
from .ruled import rows

SOURCE = "xpu_smi"
_NODE = re.compile(r"/dev/xpu([0-9]{1,5})", re.ASCII)
_DRIVER = re.compile(r"\s*Driver Version\s*:\s*(\S+)", re.IGNORECASE)
_PLACES = {"pci addr", "inode"}


def parse_devices_table(text: str) -> Reading:
    """Read the rows below a heading that has addresses or nodes."""
    titles: list[str] = []
    driver = next((version(match[1]) for line in lines(text) if (match := _DRIVER.match(line))), None)
    found: list[Device] = []
    torn: list[str] = []
    for cells in rows(text, torn_too=True):
        lowered = [cell.lower() for cell in cells]
        if "devid" in lowered:
            titles = lowered if _PLACES & set(lowered) else []
            continue
        device = None
        if titles and len(cells) == len(titles):
            device = _device(dict(zip(titles, cells, strict=True)), driver)
        if device is not None:
            found.append(device)
        elif titles and (whole(cells[0]) is not None or any(map(pci_address, cells))):
            torn.append(torn_row(" ".join(cells)))
    return Reading(_told_apart(once(found)), driver, torn=tuple(torn))


def _device(cells: Mapping[str, str], driver: str | None) -> Device | None:
    index, bdf = whole(cells.get("devid")), pci_address(cells.get("pci addr"))
    node = _NODE.fullmatch(cells.get("inode", ""))
    if index is None or (bdf is None and node is None):
        return None
    used, total = pair(cells.get("memory"))
    health, reason = _state(cells)
    return Device(
        ids=DeviceIds(index=index, bdf=bdf, minor=int(node[1]) if node else None),
        name=cells.get("model") or None,
        memory_total_bytes=total,
        memory_used_bytes=used,
        utilisation_percent=percent(cells.get("userate")),
        driver_version=driver,
        health=health,
        health_reason=reason,
        figures=last_level(pair(cells.get("l3"))[1], f"{SOURCE}: L3"),
    )


def _state(cells: Mapping[str, str]) -> tuple[HealthState, str | None]:
    """Return what the column State says, and of a card with virtual functions that it cannot compute meanwhile."""
    state, model = cells.get("state"), cells.get("model", "")
    if state == "E":
        return (
            "failed",
            f"the tool's state of {cells.get('inode') or 'the device'} is E (error): it has to be reset",
        )
    if model.endswith("-PF"):
        return "degraded", f"{model} has given its compute to its virtual functions"
    return ("ok", "its tool says N (normal)") if state == "N" else ("unknown", None)


def _told_apart(devices: Sequence[Device]) -> tuple[Device, ...]:
    """Give devices that share an address the tool's number as their key."""
    addresses = Counter(one.ids.bdf for one in devices)
    return tuple(
        attrs.evolve(one, key=str(one.ids.index)) if addresses[one.ids.bdf] > 1 else one for one in devices
    )
