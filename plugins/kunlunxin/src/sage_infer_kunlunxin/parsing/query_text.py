"""``xpu-smi -q``: one block of labels and values a device.

Format: the module comment of zstack-utility's ``zstacklib/gpu/vendors/kunlunxin.py`` (XPUSMI LOG of driver 5.0.21.26,
P800 PCIe). A block begins with ``XPU <address>``; a line without a colon opens a section.
"""

from __future__ import annotations

import re

import attrs

from sage_infer_contracts.detecting.devices import Device
from sage_infer_contracts.detecting.text import lines, pci_address, percent, whole
from sage_infer_contracts.devices import DeviceIds

from .records import Reading, from_ecc, last_level, once, some_bytes, used_bytes, uuid, version

SOURCE = "xpu-smi -q"
_BLOCK = re.compile(r"\s*XPU\s+(?:([0-9]{1,5})|([0-9A-Fa-f:]{7,16}\.[0-7]))", re.ASCII)
_TITLE = re.compile(r"[A-Z][A-Za-z0-9]*(?: [A-Z0-9][A-Za-z0-9]*)*")
_MEMORY = ("Memory Usage", "FB Memory Usage")
Fields = dict[tuple[str, str], str]


@attrs.define(slots=True)
class _Block:
    """One device: what its first line names, and values by (section, label); the first of two equal ones stands."""

    index: int | None
    address: str | None
    fields: Fields = attrs.field(factory=dict)

    def get(self, label: str, *sections: str) -> str | None:
        """Return a value from one of ``sections``; without any, wherever the label stands."""
        for (section, name), value in self.fields.items():
            if name == label and (not sections or section in sections):
                return value
        return None

    @property
    def bdf(self) -> str | None:
        """The address; None where two are named, as when lines are missing and two devices run together."""
        inside = pci_address(self.get("Bus Id"))
        return None if inside and self.address and inside != self.address else self.address or inside


def parse_query(text: str) -> Reading:
    """Read all devices of ``xpu-smi -q``, or the one of ``xpu-smi -q --id=N``.

    A device's index is its place among the blocks, where there are as many of them as the tool says are attached.
    """
    head, blocks = _blocks(text)
    driver = version(head.get("Driver Version"))
    devices = once([_device(block, driver) for block in blocks])
    numbered = all(one.ids.index is not None for one in devices)
    attached = whole(head.get("Attached XPUs"))
    if not numbered and attached == len(devices):
        devices = tuple(
            attrs.evolve(one, ids=one.ids.model_copy(update={"index": place}))
            for place, one in enumerate(devices)
        )
    return Reading(devices, driver, attached)


def _blocks(text: str) -> tuple[dict[str, str], list[_Block]]:
    head: dict[str, str] = {}
    blocks: list[_Block] = []
    section = ""
    for line in lines(text):
        begins = _BLOCK.fullmatch(line)
        label, colon, value = (part.strip() for part in line.partition(":"))
        if begins:
            blocks.append(_Block(whole(begins[1]), pci_address(begins[2])))
            section = ""
        elif not colon:
            section = label if _TITLE.fullmatch(label) else section
        elif not blocks:
            head.setdefault(label, value)
        else:
            blocks[-1].fields.setdefault((section, label), value)
    return head, [block for block in blocks if block.bdf is not None]


def _device(block: _Block, driver: str | None) -> Device:
    total = some_bytes(block.get("Total", *_MEMORY))
    health, reason = from_ecc(whole(block.get("DRAM Uncorrectable", "Volatile")))
    features = (block.get("Product Architecture"), block.get("XPU Part Number"))
    return Device(
        ids=DeviceIds(
            index=block.index,
            uuid=uuid(block.get("XPU UUID")),
            bdf=block.bdf,
            minor=whole(block.get("Minor Number")),
        ),
        name=block.get("Product Name") or None,
        memory_total_bytes=total,
        memory_used_bytes=used_bytes(block.get("Used", *_MEMORY), total),
        utilisation_percent=_share(block.get("Xpu", "Utilization")),
        driver_version=driver,
        health=health,
        health_reason=reason,
        figures=last_level(some_bytes(block.get("Total", "L3 Usage")), f"{SOURCE}: L3 Usage, Total"),
        features=tuple(one for one in features if one and one != "N/A"),
    )


def _share(value: str | None) -> float | None:
    """Read ``37 %``; a number without its sign may be the beginning of one."""
    return percent(value) if value is not None and value.endswith("%") else None
