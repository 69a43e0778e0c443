"""The files and device nodes of the driver, which are there with or without any tool."""

from __future__ import annotations

import re

from sage_infer_contracts.detecting.ladder import Ladder
from sage_infer_contracts.detecting.text import pci_address

from .parsing.information import parse_information
from .parsing.records import Card, version_of

CARDS = "/proc/driver/cambricon/mlus"
NODES = "/dev"
INSTANCES = "/dev/cambricon-caps"
NEUWARE = "/usr/local/neuware/version.txt"
_NODE = re.compile(r"cambricon_dev([0-9]{1,4})", re.ASCII)
_INSTANCE = re.compile(r"cap_dev([0-9]{1,4})_mi([0-9]{1,4})", re.ASCII)
_SLOT = re.compile(r"PCI_SLOT_NAME=(\S{7,20})", re.ASCII)


def read_cards(ladder: Ladder) -> tuple[list[Card], bool]:
    """Return the driver's cards, and whether its folder lists any at all, readable or not."""
    named = [name for name in ladder.folder(CARDS) if pci_address(name) == name.lower()]
    cards = []
    for name in named:
        text = ladder.file(f"{CARDS}/{name}/information")
        card = parse_information(text, pci_address(name)) if text is not None else None
        if card is not None:
            cards.append(card)
    if cards:
        ladder.note(CARDS, "used", f"{len(cards)} cards")
    return cards, bool(named)


def read_nodes(ladder: Ladder) -> list[int]:
    """Return the numbers of the device nodes /dev/cambricon_devN."""
    return [int(match[1]) for name in ladder.folder(NODES) if (match := _NODE.fullmatch(name))]


def read_instances(ladder: Ladder) -> dict[int, list[int]]:
    """Return which slices each card is split into, by the card's number: MIM instances, or quotas of sMLU."""
    found: dict[int, list[int]] = {}
    for name in ladder.folder(INSTANCES):
        match = _INSTANCE.fullmatch(name)
        if match:
            found.setdefault(int(match[1]), []).append(int(match[2]))
    return found


def read_parent(ladder: Ladder, bdf: str) -> str | None:
    """Return the PCI address of the card that a virtual function belongs to; None inside its virtual machine."""
    match = _SLOT.search((ladder.file(f"/sys/bus/pci/devices/{bdf}/physfn/uevent") or "")[:2000])
    return pci_address(match[1]) if match else None


def read_neuware(ladder: Ladder) -> str | None:
    """Return the version of the Neuware SDK in the usual place, e.g. ``3.9.0``; a host may do without one."""
    text = ladder.file(NEUWARE)
    match = re.search(r"Neuware Version\s+(\S{1,32})", (text or "")[:2000], re.IGNORECASE)
    version = version_of(match[1]) if match else None
    if version is not None:
        ladder.note(NEUWARE, "used", f"Neuware {version}")
    return version
