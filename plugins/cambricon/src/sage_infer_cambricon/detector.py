"""CambriconDetector: PCI decides, then the driver's files and cnmon describe the devices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import attrs

from sage_infer_contracts.detecting.conclude import conclude
from sage_infer_contracts.detecting.devices import Device, from_pci, merged
from sage_infer_contracts.detecting.ladder import Ladder
from sage_infer_contracts.detecting.visible import number_as_runtime
from sage_infer_contracts.detection import DetectionReport
from sage_infer_contracts.devices import DeviceIds
from sage_infer_contracts.probe import PciDevice, Probe

from . import procfs
from .asking import Tool, ask_tool
from .chips import CHIPS
from .features import with_features, with_worst_health
from .links import links_of, with_numa_of_affinity
from .parsing.records import Card
from .slices import mark_slices

PCI_VENDOR = "cabc"
VIRTUAL_FUNCTIONS = frozenset(
    {"0201", "0271", "0291", "0366", "0371", "0561", "0571", "0581", "0586", "0591"}
)
"""PCI device ids of virtual functions: MLUID_*V in core/cndrv_core.h of the driver's source, release 5.10."""
VISIBLE_FIRST, VISIBLE = "CN_VISIBLE_DEVICES", "MLU_VISIBLE_DEVICES"
"""Both are read by torch_mlu (torch_mlu/mlu/__init__.py, _parse_visible_devices), the first one first."""


class CambriconDetector:
    """A pure function of a probe; see :class:`~sage_infer_contracts.detection.HardwareDetector`."""

    hardware_backend = "cambricon"

    def detect(self, probe: Probe) -> DetectionReport:
        """Report the MLU devices, their links and what is wrong with them.

        Where PCI is known and shows none of the vendor's functions, no command is run and nothing is claimed; a driver
        that nevertheless lists cards makes the report ``unreadable``, since one of the two must be wrong.
        """
        ladder = Ladder(probe)
        functions = ladder.pci(PCI_VENDOR)
        driver_cards, listed = procfs.read_cards(ladder)
        nodes = procfs.read_nodes(ladder)
        if functions is not None and not functions:
            return self._without_cards(ladder, driver_cards, listed=listed, nodes=nodes)
        procfs.read_neuware(ladder)
        known = None if functions is None else frozenset(one.bdf for one in functions)
        tool = ask_tool(ladder, known)
        devices = _joined(tool, driver_cards, functions)
        said = (*tool.info, *tool.table, *driver_cards)
        devices = with_worst_health(with_features(devices, said, tool.ports), said)
        devices = mark_slices(ladder, devices)
        devices = _with_numa(devices, functions)
        devices = with_numa_of_affinity(ladder, devices, tool.matrix)
        devices = [device.with_chip(CHIPS.find(device.name)) for device in devices]
        devices = self._visible(ladder, devices)
        cards = _cards(functions, devices)
        links, doubts = links_of(devices, tool.matrix)
        lost = [*tool.lost, *doubts, *_unnamed(cards, devices)]
        return conclude(
            self.hardware_backend,
            ladder,
            cards,
            devices,
            links=links,
            lost=lost,
            somewhere=bool(listed or nodes),
        )

    def _without_cards(
        self, ladder: Ladder, driver_cards: Sequence[Card], *, listed: bool, nodes: Sequence[int]
    ) -> DetectionReport:
        lost = []
        if listed or nodes:
            count = max(len(driver_cards), len(nodes))
            lost.append(f"the driver lists {count} cards, and the PCI bus shows none of vendor {PCI_VENDOR}")
        return conclude(self.hardware_backend, ladder, (), (), lost=lost, somewhere=bool(lost))

    def _visible(self, ladder: Ladder, devices: Sequence[Device]) -> list[Device]:
        """Number the devices as CNRT does: in the order of their cards, or as the variable names them."""
        value = ladder.variable(VISIBLE_FIRST)
        if value is None:
            value = ladder.variable(VISIBLE)
        words = [word.strip() for word in (value or "").split(",")]
        if value is not None and len(set(words)) < len(words):
            value = ""  # a device that is named twice leaves none, as in torch_mlu
        by_uuid = value is not None and "-" in value and len(value) >= 36
        return number_as_runtime(devices, value, in_order_of=_place, uuids=by_uuid)


def _place(device: Device) -> tuple[bool, int, str]:
    return device.ids.index is None, device.ids.index or 0, device.ids.bdf or ""


def _joined(tool: Tool, driver_cards: Sequence[Card], functions: Sequence[PciDevice] | None) -> list[Device]:
    """Put together what the sources say of each device; what only the driver lists counts where no tool answers."""
    known = None if functions is None else {one.bdf for one in functions}
    by_driver = [card for card in driver_cards if known is None or card.bdf in known]
    table = [card for card in tool.table if known is None or card.bdf is None or card.bdf in known]
    devices = [card.device() for card in _trustworthy(tool.info)]
    devices = merged(devices, (card.device() for card in table), add=True)
    if not devices and functions is None and not by_driver:
        return [Device(ids=DeviceIds(index=number)) for number in tool.named]
    most = None if functions is None else len(functions)
    if most is not None and len(devices) > most:
        devices = [one for one in devices if one.ids.bdf is not None or one.key is not None]
    if devices and all(device.ids.bdf is None for device in devices):
        return _by_elimination(devices, by_driver)
    return merged(devices, (card.device() for card in by_driver), add=not devices)


def _by_elimination(devices: list[Device], by_driver: Sequence[Card]) -> list[Device]:
    """Join a row without an address, as release 4.20 prints it, to the driver's card where there is one of each."""
    if len(devices) == len(by_driver) == 1:
        return [devices[0].with_more(by_driver[0].device())]
    return devices


def _trustworthy(cards: Sequence[Card]) -> list[Card]:
    """Take away UUIDs that several cards have: they name none of them, and the PCI address has to."""
    count = Counter(card.uuid.lower() for card in cards if card.uuid)
    return [
        attrs.evolve(card, uuid=None) if card.uuid and count[card.uuid.lower()] > 1 else card
        for card in cards
    ]


def _with_numa(devices: Sequence[Device], functions: Sequence[PciDevice] | None) -> list[Device]:
    """Give each device what PCI knows of it; one without an address, the node that all of the cards have in common."""
    found = merged(devices, from_pci(functions or ()))
    nodes = {one.numa_node for one in functions or ()}
    common = nodes.pop() if len(nodes) == 1 else None
    if common is None or common < 0:
        return found
    return [attrs.evolve(one, numa_node=common) if one.numa_node is None else one for one in found]


def _cards(functions: Sequence[PciDevice] | None, devices: Sequence[Device]) -> list[PciDevice] | None:
    """Return the functions that must be shown: cards, and of virtual functions those that are all there is.

    On a host, virtual functions belong to virtual machines and no tool shows them.
    """
    if functions is None:
        return None
    physical = [one for one in functions if one.device not in VIRTUAL_FUNCTIONS]
    shown = {device.ids.bdf for device in devices}
    return [one for one in functions if one in physical or not physical or one.bdf in shown]


def _unnamed(cards: Sequence[PciDevice] | None, devices: Sequence[Device]) -> list[str]:
    """Say that devices are missing where rows without addresses leave open which."""
    if cards is None or not devices or any(device.ids.bdf for device in devices):
        return []
    missing = len(cards) - len({device.ids.index for device in devices})
    return [f"{len(cards)} cards are on the bus, and {missing} of them are not shown"] if missing > 0 else []
