"""Whose machine it is: PCI vendor and class first, then the driver's device nodes and folders (HD-03)."""

from __future__ import annotations

import re

import attrs

from sage_infer_contracts.detecting.ladder import ACCELERATOR_CLASSES, Ladder
from sage_infer_contracts.probe import PciDevice, Unknown

VENDORS = ("2057", "1d22")
"""2057: Kunlunxin, P800 (``Device Id 0x36862057`` of ``xpu-smi -q``). 1d22: Baidu, whose accelerators Kunlunxin's were;
from the driver's table of ids, pci.ids and PaddlePaddle's installation pages, which look for both."""
LEGACY_IDS = frozenset({"3684", "3685"})
"""The K and R series, and virtual functions of the R series (driver's table of ids), whose tool is ``xpu_smi``."""
VIRTUAL_FUNCTION_ID = "3685"
CLASSES = (*ACCELERATOR_CLASSES, "0780")
"""R200, R300 and P800 call themselves communication controllers, 0780 (XRE user guide, PaddleNLP's guide for R300,
zstack-utility), K100 and K200 processing accelerators."""
_NODE = re.compile(r"xpu(?:ctrl|[0-9]{1,5})", re.ASCII)
PROC = ("/proc/kunlun", "/proc/xpu")
"""The driver's folder: of new and of old drivers. ``devN`` in it is the device /dev/xpuN."""
MODULES = ("/sys/module/kunlun", "/sys/module/xpu_driver")
"""The kernel's module: of releases from 4.0 on, and of older ones (Kunlunxin's page of common error codes)."""


@attrs.frozen(slots=True)
class Gate:
    """``cards`` are Kunlunxin's functions (None: nobody can tell), ``signs`` what else says that it is here."""

    cards: tuple[PciDevice, ...] | None
    signs: tuple[str, ...] = ()

    @property
    def usable(self) -> tuple[PciDevice, ...] | None:
        """The cards that are not handed to virtual machines; all of them if that would leave none."""
        if self.cards is None:
            return None
        return tuple(card for card in self.cards if card.driver != "vfio-pci") or self.cards

    def card_at(self, bdf: str | None) -> PciDevice | None:
        """Return the card at a PCI address, if the bus is known and it is Kunlunxin's."""
        return next((card for card in self.cards or () if card.bdf == bdf), None)

    @property
    def closed(self) -> bool:
        """Whether the bus is known and shows no card, so that no tool is asked: it would be another vendor's."""
        return self.cards == ()


def is_card(function: PciDevice) -> bool:
    """Say whether a PCI function is one of Kunlunxin's accelerators: by vendor and class, never by a tool."""
    return function.vendor in VENDORS and function.device_class.startswith(CLASSES)


def look(ladder: Ladder) -> Gate:
    """Look for cards, and for device nodes and the driver's folders.

    A list of functions that is empty while there are nodes is no list: some sandboxes hide the bus.
    """
    listed = ladder.probe.pci_devices()
    signs = _signs(ladder)
    if isinstance(listed, Unknown) or (not listed and signs):
        ladder.note("pci", "unknown", "" if isinstance(listed, Unknown) else "no function at all is listed")
        return Gate(None, signs)
    cards = tuple(one for one in listed if is_card(one))
    found = f"{len(cards)} accelerators of vendors {' and '.join(VENDORS)}"
    ladder.note("pci", "used" if cards else "absent", found)
    return Gate(cards, signs)


def not_started(ladder: Ladder, gate: Gate) -> str | None:
    """Say why cards that no tool shows are of no use, where the driver's absence explains it."""
    listed = [ladder.probe.list_dir(path) for path in ("/dev", *MODULES)]
    if not gate.cards or gate.signs or any(isinstance(one, Unknown) for one in listed):
        return None
    return (
        f"{len(gate.cards)} cards are on the bus, and the driver does not run: there is neither /dev/xpuN nor its "
        "module; install Kunlunxin's driver (XRE), or load it with modprobe kunlun"
    )


def _signs(ladder: Ladder) -> tuple[str, ...]:
    nodes = [f"/dev/{name}" for name in ladder.folder("/dev") if _NODE.fullmatch(name)]
    folders = [path for path in (*PROC, *MODULES) if ladder.folder(path)]
    return (*nodes, *folders)
