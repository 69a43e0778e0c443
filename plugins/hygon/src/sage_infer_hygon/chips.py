"""``chips.json``: figures of Hygon's chips, each number with its source."""

from __future__ import annotations

from importlib.resources import files

from sage_infer_contracts.detecting.chips import ChipSpec, read_chips

CHIPS = read_chips(files(__package__) / "chips.json")
"""The list that comes with this package."""


def chip_of(pci_device: str | None, name: str | None = None) -> ChipSpec | None:
    """Return the chip with this PCI device id; a name decides only where there is no id.

    Tools name a card by its board or its series, and architectures are shared, so both say less than the id.
    """
    if pci_device is not None:
        return CHIPS.find(None, pci_device)
    return CHIPS.find(name) if name else None
