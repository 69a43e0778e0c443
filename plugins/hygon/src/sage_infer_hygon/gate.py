"""Whose cards these are: the bus decides and, where nobody knows the bus, what the tools say of the maker.

AMD's own ``rocm-smi`` prints the same forms, so the tool that answered never decides.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

import attrs

from sage_infer_contracts.detecting.ladder import Ladder
from sage_infer_contracts.probe import PciDevice, Unknown

from .parsing.rocminfo import Agent
from .parsing.rows import Row
from .readings import address_of, device_id

NAME = "hygon"
PCI_VENDOR = "1d94"
PCI_CLASSES = ("03", "12", "0b40")
"""Displays, as Z100 is, accelerators, and co-processors, as K100_AI and BW100 are (gpustack/gpustack#5070).
The host bridges, USB and cryptographic functions of Hygon's processors have the same vendor and none of
these classes."""
_AMD = "1002"
_OWN_TITLES = ("hcu use (%)", "dcu use (%)", "hcu memory use (%)", "dcu memory use (%)", "hcu%", "dcu%")
_HYGON = re.compile(r"hygon|haiguang|c-3000 ic design", re.IGNORECASE)


def own_cards(ladder: Ladder) -> tuple[PciDevice, ...] | None:
    """Return Hygon's accelerators on the bus; None where nobody knows the bus."""
    return ladder.pci(PCI_VENDOR, classes=PCI_CLASSES)


def is_vendor(name: str | None) -> bool | None:
    """Say whether a card vendor, as a tool prints it, is Hygon; None where it prints none."""
    if name is None or not re.search(r"[a-z]{3}", name, re.IGNORECASE):
        return None
    return bool(_HYGON.search(name))


def has_amd(ladder: Ladder) -> bool:
    listed = ladder.probe.pci_devices()
    if isinstance(listed, Unknown):
        return True
    return any(one.vendor == _AMD and one.device_class.startswith(("03", "12")) for one in listed)


def own_rows(rows: Sequence[Row], cards: Sequence[PciDevice] | None, *, amd_beside: bool) -> list[Row]:
    """Leave out cards of others. The bus decides; without it the word before the card's number, or its maker, does."""
    vendors = {is_vendor(row.values.get("card vendor")) for row in rows} - {None}
    kept = []
    for row in rows:
        vendor = is_vendor(row.values.get("card vendor"))
        own = bool(vendor) or row.label in ("HCU", "DCU") or any(title in row.values for title in _OWN_TITLES)
        own = own or (vendor is None and vendors == {True})
        if cards is not None:
            own = _on_the_bus(row, cards, own or not amd_beside)
        if own and vendor is not False:
            kept.append(row)
    return kept


def _on_the_bus(row: Row, cards: Collection[PciDevice], own: bool) -> bool:
    address, device = address_of(row), device_id(row.values)
    if address is not None:
        return address in {card.bdf for card in cards}
    return own and (device is None or device in {card.device for card in cards})


def own_agent(agent: Agent, addresses: Sequence[str] | None) -> Agent | None:
    """Return the agent with its address on the bus; None for another maker's.

    Where the runtime prints no PCI domain, the bus says which it is, unless two cards differ in nothing else.
    """
    if addresses is None or agent.bdf is None:
        return agent if agent.is_hygon else None
    if agent.has_domain:
        return agent if agent.bdf in addresses else None
    _, _, place = agent.bdf.partition(":")
    same = [address for address in addresses if address.partition(":")[2] == place]
    return attrs.evolve(agent, bdf=same[0] if len(same) == 1 else None) if same else None
