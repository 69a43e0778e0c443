"""``chips.json``: specifications of Kunlunxin's chips, each number with its source."""

from __future__ import annotations

from importlib.resources import files

from sage_infer_contracts.detecting.chips import read_chips
from sage_infer_contracts.detecting.devices import Device
from sage_infer_contracts.probe import PciDevice

CHIPS = read_chips(files(__package__) / "chips.json")
"""The list that comes with this package."""


def with_specification(device: Device, card: PciDevice | None) -> Device:
    """Return the device with its chip's name and figures; a slice has no figures of its whole chip."""
    chip = CHIPS.find(device.name, card.device if card else None)
    if chip is not None and device.slice_of is not None:
        chip = chip.model_copy(update={"figures": {}})
    return device.with_chip(chip)
