"""PCI functions as sysfs lists them."""

from __future__ import annotations

import re
from pathlib import Path

from sage_infer_contracts.probe import PciDevice, Unknown

_BDF = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_HEX = re.compile(r"0x([0-9a-f]{1,6})\s*")


def pci_devices(root: Path) -> list[PciDevice] | Unknown:
    """Return the functions below ``root``/sys/bus/pci/devices in BDF order; Unknown without that folder.

    Entries without readable ids, and domains of more than four digits (which exist for storage behind a volume
    manager), are left out: nothing can be said about them in the contract's terms.
    """
    folder = root / "sys/bus/pci/devices"
    try:
        names = sorted(path.name.lower() for path in folder.iterdir())
    except OSError as error:
        return Unknown(f"pci: {error.strerror}")
    found = (_device(folder / name, name) for name in names if _BDF.fullmatch(name))
    return [device for device in found if device is not None]


def _device(path: Path, bdf: str) -> PciDevice | None:
    vendor, device, kind = (_hex(path / name, digits) for name, digits in _FIELDS)
    if vendor is None or device is None or kind is None:
        return None
    return PciDevice(
        bdf=bdf,
        vendor=vendor,
        device=device,
        device_class=kind,
        numa_node=_numa(path / "numa_node"),
        driver=_driver(path / "driver"),
    )


_FIELDS = (("vendor", 4), ("device", 4), ("class", 6))


def _hex(path: Path, digits: int) -> str | None:
    match = _HEX.fullmatch(_text(path).lower())
    return match[1].zfill(digits) if match and len(match[1]) <= digits else None


def _numa(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if re.fullmatch(r"[0-9]{1,6}", text) else None  # -1: the firmware did not say


def _driver(path: Path) -> str | None:
    try:
        return path.readlink().name
    except OSError:
        return None  # no driver bound


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
