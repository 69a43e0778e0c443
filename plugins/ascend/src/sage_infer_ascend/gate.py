"""Whose machine it is: PCI vendor and class first, then the driver's device nodes (HD-03)."""

from __future__ import annotations

import re
from collections.abc import Sequence

import attrs

from sage_infer_contracts.detecting.ladder import ACCELERATOR_CLASSES, Ladder
from sage_infer_contracts.probe import PciDevice, Unknown

PCI_VENDOR = "19e5"
NOT_NPUS = {
    "1711": "display of the board controller (Linux drivers/gpu/drm/hisilicon/hibmc)",
    "a250": "compression engine of Kunpeng processors (Linux drivers/crypto/hisilicon/zip)",
    "a251": "virtual function of the compression engine (Linux drivers/crypto/hisilicon/zip)",
}
"""Huawei's own displays and processing accelerators that every Kunpeng server has, with NPUs or without."""
DRIVER_FILE = "/usr/local/Ascend/driver/version.info"
_NODE = re.compile(r"davinci([0-9]{1,6})", re.ASCII)
_CONTAINER_FILES = ("/.dockerenv", "/run/.containerenv")
_CONTAINER_VARIABLES = ("ASCEND_VISIBLE_DEVICES", "KUBERNETES_SERVICE_HOST", "container")


@attrs.frozen(slots=True, kw_only=True)
class Gate:
    """What is known before any tool is asked. ``cards`` is None where nobody knows the bus.

    ``foreign``: the bus shows other vendors' accelerators or displays, and no NPU. ``nodes`` are the numbers of
    ``/dev/davinciN``, None where /dev is not known.
    """

    cards: tuple[PciDevice, ...] | None
    foreign: bool
    nodes: tuple[int, ...] | None
    driver_version: str | None

    @property
    def elsewhere(self) -> bool:
        """Whether something other than PCI says that NPUs are here."""
        return bool(self.nodes) or self.driver_version is not None

    @property
    def closed(self) -> bool:
        """Whether there is certainly no NPU, so that no tool needs to be asked."""
        return self.cards == () and not self.elsewhere


def look(ladder: Ladder) -> Gate:
    """Look at the bus and at the driver's files."""
    cards = ladder.pci(PCI_VENDOR, but=NOT_NPUS)
    nodes = _nodes(ladder)
    return Gate(
        cards=cards,
        foreign=not cards and _foreign(ladder),
        nodes=nodes,
        driver_version=_driver_version(ladder),
    )


def in_container(ladder: Ladder) -> bool:
    """Say whether this is a container, which is given some of the cards that its bus shows."""
    return any(ladder.variable(name) for name in _CONTAINER_VARIABLES) or any(
        ladder.file(path) is not None for path in _CONTAINER_FILES
    )


def _foreign(ladder: Ladder) -> bool:
    listed: Sequence[PciDevice] | Unknown = ladder.probe.pci_devices()
    return not isinstance(listed, Unknown) and any(
        one.vendor != PCI_VENDOR and one.device_class.startswith(ACCELERATOR_CLASSES) for one in listed
    )


def _nodes(ladder: Ladder) -> tuple[int, ...] | None:
    listed = ladder.probe.list_dir("/dev")
    if isinstance(listed, Unknown):
        ladder.note("/dev", "unknown")
        return None
    found = tuple(sorted(int(match[1]) for name in listed or () if (match := _NODE.fullmatch(name))))
    ladder.note("/dev", "used" if found else "absent", f"{len(found)} nodes davinciN")
    return found


def _driver_version(ladder: Ladder) -> str | None:
    text = ladder.file(DRIVER_FILE)
    match = re.search(r"^Version=(\S{1,64})[ \t]*$", text or "", re.MULTILINE | re.IGNORECASE)
    ladder.note(DRIVER_FILE, "used" if match else "absent" if text is None else "failed")
    return match[1] if match else None
