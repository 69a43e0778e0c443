"""PCI functions of others: what stands beside an accelerator in real machines, and what could be mistaken for one."""

from __future__ import annotations

from sage_infer_contracts.probe import PciDevice

from ..suite import Choices

STRANGE_VENDORS = ("f00d", "fab1", "1a03", "102b", "1234", "1af4", "15ad", "1b36", "1414")
"""Two ids that nobody has, and makers of the display functions of servers and of virtual machines."""
OTHER_MAKERS = (
    "10de",
    "1002",
    "8086",
    "19e5",
    "cabc",
    "1d94",
    "2057",
    "1ed5",
    "9999",
    "1e3e",
    "1da3",
    "1eff",
)
"""Makers of accelerators; which of them are strangers is known where the author names the detector's own ids."""
_LIKELY_MISTAKEN = ("030000", "030200", "038000", "0b4000", "078000", "120000", "120100")
_RELATED = ("020000", "010802", "060400")
"""What makers of accelerators also make: networks, storage, bridges."""
_DISPLAYS = ("030000", "038000")
"""What board controllers show themselves as; related to an accelerator only where its author names its classes."""
_HARMLESS = ("020000", "020700", "010802", "060400", "0c0330", "088000", "ff0000")


def draw_vendor(choices: Choices, own: frozenset[str], *, told: bool) -> str:
    """Return the vendor id of a stranger. ``told``: the author has named all of ``own``."""
    pool = [one for one in (*STRANGE_VENDORS, *(OTHER_MAKERS if told else ())) if one not in own]
    vendor: str = choices.one_of(pool)
    return vendor


def draw_strangers(
    choices: Choices, own: frozenset[str], *, told: bool, classes: tuple[str, ...] = (), most: int = 6
) -> tuple[PciDevice, ...]:
    """Return PCI functions of others, each at an address of its own. Some are of an own vendor and another class.

    ``classes``: how those of its own begin, where the author names them.
    """
    first = choices.integer(0, 0xE0)
    displays = (one for one in _DISPLAYS if classes and not one.startswith(classes))
    related = (*_RELATED, *displays)
    return tuple(
        _draw_one(choices, own, told, related, first + number) for number in range(choices.integer(1, most))
    )


def _draw_one(
    choices: Choices, own: frozenset[str], told: bool, related: tuple[str, ...], bus: int
) -> PciDevice:
    relative = bool(own) and choices.chance(25)
    vendor = choices.one_of(sorted(own)) if relative else draw_vendor(choices, own, told=told)
    classes = related if relative else (*_LIKELY_MISTAKEN, *_LIKELY_MISTAKEN, *_HARMLESS)
    return PciDevice(
        bdf=f"{choices.one_of(['0000', '0001'])}:{bus:02x}:{choices.integer(0, 3):02x}.{choices.integer(0, 1)}",
        vendor=vendor,
        device=f"{choices.integer(1, 0xFFFF):04x}",
        device_class=choices.one_of(classes),
        numa_node=choices.one_of([None, -1, 0, 1]),
        driver=choices.one_of([None, "vfio-pci"]),
    )
