"""AscendDetector: Huawei Ascend NPUs, from PCI, the driver's files and ``npu-smi``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from sage_infer_contracts.detecting.conclude import conclude
from sage_infer_contracts.detecting.devices import Device
from sage_infer_contracts.detecting.ladder import Ladder
from sage_infer_contracts.detection import DetectionReport
from sage_infer_contracts.devices import DeviceIds
from sage_infer_contracts.probe import PciDevice, Probe, Unknown

from . import single_npus
from .asking import Tool
from .chips import chip_of, soc_of
from .devices import chip_id, is_slice, of_table, of_topology, same_places
from .gate import Gate, in_container, look
from .links import links_of, with_numa
from .parsing.boards import Board
from .parsing.info_table import Table, parse_info
from .parsing.mapping import MappedChip, parse_mapping
from .parsing.topology import Topology, parse_topology
from .visible import VARIABLE, numbered


class AscendDetector:
    """A pure function of a probe; see :class:`~sage_infer_contracts.detection.HardwareDetector`."""

    hardware_backend = "ascend"

    def detect(self, probe: Probe) -> DetectionReport:
        """Report the NPUs: PCI says whose they are, ``npu-smi`` what they are."""
        ladder = Ladder(probe)
        gate = look(ladder)
        if gate.closed:
            return conclude(self.hardware_backend, ladder, gate.cards, ())
        tool = Tool(ladder)
        tool.find()
        table = tool.read(_table) or Table()
        mapping = tool.read(_mapping, "-m") or ()
        topology = tool.read(_topology, "-t", "topo") or Topology()
        devices = _all_devices(tool, table, mapping, topology)
        return _Report(gate, tool, table, topology, devices).write(self.hardware_backend)


def _table(text: str) -> Table | None:
    table = parse_info(text)
    return table if table.rows else None


def _mapping(text: str) -> tuple[MappedChip, ...] | None:
    return parse_mapping(text) or None


def _topology(text: str) -> Topology | None:
    topology = parse_topology(text)
    return topology if topology.labels else None


def _all_devices(tool: Tool, table: Table, mapping: Sequence[MappedChip], topology: Topology) -> list[Device]:
    """Return what the cheapest sources show that show anything."""
    devices = of_table(table.rows, mapping)
    if not devices:
        devices = single_npus.listed(tool)
    if devices and not table.rows and tool.known:
        return single_npus.in_detail(tool, devices)
    if not devices and topology.labels:
        return of_topology(topology)
    return devices if devices or tool.known else single_npus.recorded_alone(tool)


@attrs.define(slots=True)
class _Report:
    """The last steps: whose the devices are, what their chips are, links, NUMA nodes and numbers."""

    gate: Gate
    tool: Tool
    table: Table
    topology: Topology
    devices: list[Device]
    lost: list[str] = attrs.field(factory=list)

    def write(self, hardware_backend: str) -> DetectionReport:
        ladder, cards = self.tool.ladder, self.gate.cards
        self.lost += [f"{what}: npu-smi info shows it half" for what in self.table.cut]
        devices = self._own(self.devices)
        if not devices and self.gate.cards and self.tool.missing:
            self.lost.append(
                f"{len(self.gate.cards)} cards are on the bus, and npu-smi is not there: install Huawei's driver"
            )
        boards = single_npus.boards(self.tool, devices) if self.table.rows else {}
        devices = with_numa(devices, ladder, cards, self.topology)
        shared = same_places(devices)
        devices = [self._described(device, boards, device.ids.bdf in shared) for device in devices]
        links = links_of(self.topology, devices)
        self.lost += self.topology.doubts
        visible = ladder.probe.environ(VARIABLE)
        if not isinstance(visible, Unknown):  # else only what the tool calls them is known
            devices = numbered(devices, visible)
        return conclude(
            hardware_backend,
            ladder,
            self._cards(devices),
            devices,
            links=links,
            lost=self.lost,
            somewhere=self.gate.elsewhere and not self._denied(),
        )

    def _own(self, devices: Sequence[Device]) -> list[Device]:
        """Return the devices that PCI lets pass. One at an address that the bus does not have is nobody's."""
        if self.gate.foreign:
            if devices:
                self.lost.append(f"npu-smi shows {len(devices)} devices, and the bus none of its vendor")
            return []
        if not self.gate.cards:
            return list(devices)
        on_bus = {card.bdf for card in self.gate.cards}
        own = [device for device in devices if device.ids.bdf is None or device.ids.bdf in on_bus]
        others = [device.ids.bdf or "" for device in devices if device not in own]
        if others:
            self.lost.append(f"npu-smi shows {', '.join(others)}, which the bus does not")
        return own

    def _described(
        self, device: Device, boards: Mapping[tuple[int, int], Board], shares_address: bool
    ) -> Device:
        """Add the chip and what is specified of it, the driver's version, and what the contract has no field for.

        A die's own id stands in for a UUID where the address does not tell chips apart.
        """
        card: PciDevice | None = next(
            (card for card in self.gate.cards or () if card.bdf == device.ids.bdf), None
        )
        chip, sliced = chip_id(device), is_slice(device)
        npu = device.ids.index if device.ids.index is not None else -1
        own = boards.get((npu, chip or 0))
        like = own or next((board for (other, _), board in boards.items() if other == npu), None)
        soc = soc_of(like) if like is not None else None
        spec = chip_of(device.name, soc, card.device if card is not None else None)
        told = (("chip_id", None if chip is None else str(chip)), ("soc", soc))
        node = device.ids.physical if device.ids.physical in (self.gate.nodes or ()) else None
        more = Device(
            ids=DeviceIds(minor=node, uuid=own.die if own is not None and shares_address else None),
            chip=spec.name if spec is not None else None,
            dtypes=spec.dtypes if spec is not None else (),
            figures=spec.described() if spec is not None and not sliced else (),
            driver_version=self.table.driver_version or self.gate.driver_version,
            slice_of=device.ids.bdf if sliced else None,
            features=tuple(f"{name}={value}" for name, value in told if value is not None),
        )
        return device.with_more(more)

    def _cards(self, devices: Sequence[Device]) -> tuple[PciDevice, ...] | None:
        """Return the cards that must be shown: in a container, those it was given."""
        cards = self.gate.cards
        if not cards or not devices:
            return () if self._denied() else cards
        shown = {device.ids.bdf for device in devices}
        given = self.gate.nodes is not None and len(self.gate.nodes) == len(devices) < len(cards)
        if given and in_container(self.tool.ladder):
            self.tool.ladder.note("container", "used", f"given {len(devices)} of {len(cards)} cards")
            return tuple(card for card in cards if card.bdf in shown)
        return cards

    def _denied(self) -> bool:
        """Say whether the tool answers that there is no NPU, and nothing speaks against it."""
        doubted = self.gate.cards or self.gate.nodes or self.devices or self.tool.ladder.failures
        return self.tool.denies and not doubted
