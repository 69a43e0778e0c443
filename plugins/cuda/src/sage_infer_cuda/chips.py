"""``chips.json``: specifications of NVIDIA's GPUs, each number with its source."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

from sage_infer_contracts.detecting.chips import read_chips
from sage_infer_contracts.detecting.devices import Device

CHIPS = read_chips(files(__package__) / "chips.json")
"""The list that comes with this package."""


def with_specifications(devices: Sequence[Device], pci_ids: dict[str, str]) -> list[Device]:
    """Return ``devices`` with what is known of their chips as figures named ``spec_...``.

    ``pci_ids`` are device ids by address. What is measured stands beside it; nothing missing is filled in, and a MIG
    device or another slice has no figures of its whole chip.
    """
    return [
        device
        if device.slice_of
        else device.with_chip(CHIPS.find(device.name, pci_ids.get(device.ids.bdf or "")))
        for device in devices
    ]
