"""CudaDetector: NVIDIA GPUs, by PCI, NVML, nvidia-smi and the driver's folder in /proc."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from sage_infer_contracts.detecting.conclude import conclude
from sage_infer_contracts.detecting.devices import Device, from_pci
from sage_infer_contracts.detecting.ladder import Ladder
from sage_infer_contracts.detection import DetectionReport
from sage_infer_contracts.devices import DeviceIds, Figure, LinkProfile
from sage_infer_contracts.probe import PciDevice, Probe, Unknown

from .asking import CSV, LIST, NVLINK, TABLE, TEXT, TOPOLOGY, XML, Tool
from .chips import with_specifications
from .given import withheld
from .links import links_by_library, links_by_tool
from .merging import Found, identity
from .parsing.csv_query import parse_query_csv
from .parsing.fields import is_virtual
from .parsing.listing import parse_list
from .parsing.nvlink import NvLinks, parse_nvlink
from .parsing.nvml import CALL, MODULE, LibraryReading, read_reply
from .parsing.proc import ROOT, parse_information, parse_version
from .parsing.query_text import parse_query_text
from .parsing.query_xml import parse_query_xml
from .parsing.records import Reading
from .parsing.table import parse_table
from .parsing.topology import Topology, parse_topology
from .platforms import WSL, WSL_TOOL, off_the_bus
from .visible import DEVICES, ORDER, numbered

PCI_VENDOR = "10de"
_SHARER = "HAMI-core"
_RUNGS: tuple[tuple[tuple[str, ...], Callable[[str], Reading]], ...] = (
    (CSV, parse_query_csv),
    (XML, parse_query_xml),
    (TEXT, parse_query_text),
    (TABLE, parse_table),
    (LIST, parse_list),
)


class CudaDetector:
    """A pure function of a probe; see :class:`~sage_infer_contracts.detection.HardwareDetector`."""

    hardware_backend = "cuda"

    def detect(self, probe: Probe) -> DetectionReport:
        """Report NVIDIA GPUs, their MIG devices and the links between them."""
        return _Look(Ladder(probe)).report()


@attrs.define(slots=True)
class _Look:
    """One look at one machine."""

    ladder: Ladder
    lost: list[str] = attrs.field(factory=list)
    shared: bool = False
    """Whether a library in between gives each container a part of a GPU's memory."""
    library: LibraryReading | None = None
    nvlinks: tuple[NvLinks, ...] = ()
    topology: Topology = attrs.field(factory=Topology)
    others: set[str] = attrs.field(factory=set)
    """Addresses of cards that this container was not given."""

    def report(self) -> DetectionReport:
        cards = self.ladder.pci(PCI_VENDOR)
        driver = self.ladder.folder(f"{ROOT}/gpus")
        where = off_the_bus(self.ladder) if cards is not None and not cards else None
        if cards is not None and not cards and where is None:
            return self._nothing_on_the_bus(driver)
        found = Found(cards or None)
        self._ask_library(found)
        tool = Tool(self.ladder, elsewhere=WSL_TOOL if where == WSL else "")
        if not found.enough:
            self._ask_tool(found, tool)
        for command, parse in _RUNGS[1:]:
            if found.lacks("uuid" if command == LIST else "memory_total_bytes"):
                self._read(found, tool, command, parse)
        self._ask_connections(found, tool)
        self._ask_driver(found, driver)
        if where is not None and not found.gpus:
            self.lost.append(where)
        return self._conclude(found, found.cards, bool(driver) or where is not None)

    def _nothing_on_the_bus(self, driver: object) -> DetectionReport:
        """No command is run: no tool makes another's card NVIDIA's. A driver that lists GPUs is a contradiction."""
        if driver:
            self.lost.append(f"{ROOT}/gpus lists GPUs, and PCI shows none of vendor {PCI_VENDOR}")
        return conclude("cuda", self.ladder, (), (), lost=self.lost, somewhere=bool(driver))

    def _ask_library(self, found: Found) -> None:
        reply = self.ladder.library(MODULE, CALL)
        if reply is None:
            return
        self.library = read_reply(reply)
        self.lost += self.library.lost
        found.add(self.library.reading)

    def _ask_tool(self, found: Found, tool: Tool) -> None:
        """Ask one form after another until every card is shown. A GPU that is named as lost is not waited for."""
        for command, parse in _RUNGS:
            self._read(found, tool, command, parse)
            if found.enough or (found.gpus and self.ladder.failures):
                return

    def _read(
        self, found: Found, tool: Tool, command: tuple[str, ...], parse: Callable[[str], Reading]
    ) -> None:
        text = tool.ask(*command)
        if text is not None:
            self.shared = self.shared or _SHARER in text
            found.add(parse(text))

    def _ask_connections(self, found: Found, tool: Tool) -> None:
        """Ask for links where there are two GPUs, and for anything at all where no other source showed one."""
        if self.library is not None and self.library.reading.devices:
            return
        if len(found.gpus) == 1:
            return
        text = tool.ask(*TOPOLOGY)
        self.topology = parse_topology(text) if text is not None else Topology()
        self.lost += self.topology.doubts
        if not found.gpus or any(kind.startswith("NV") for kind in self.topology.links.values()):
            text = tool.ask(*NVLINK)
            self.nvlinks = parse_nvlink(text) if text is not None else ()
        if not found.gpus:
            found.add(Reading(devices=tuple(one.device for one in self.nvlinks)))
        if not found.gpus:
            found.add(Reading(devices=tuple(Device(ids=DeviceIds(index=one)) for one in self.topology.gpus)))

    def _ask_driver(self, found: Found, folder: object) -> None:
        """Read what the kernel's driver says of each card: node numbers, and names and UUIDs where no tool did."""
        names = tuple(folder) if isinstance(folder, list | tuple) else ()
        addresses = names or tuple(card.bdf for card in found.cards or ())
        texts = (self.ladder.file(f"{ROOT}/gpus/{address}/information") for address in addresses)
        devices = [one for text in texts if text is not None and (one := parse_information(text)) is not None]
        answer = self.ladder.file(f"{ROOT}/version") if devices else None
        driver = parse_version(answer) if answer is not None else None
        if devices:
            self.ladder.note(ROOT, "used", f"{len(devices)} GPUs")
        devices = [attrs.evolve(one, driver_version=driver) for one in devices]
        found.fill(devices)
        minors = {one.ids.bdf: one.ids.minor for one in devices if one.ids.bdf and one.ids.minor is not None}
        self.others = withheld(self.ladder, found, minors)
        rest = [one for one in devices if one.ids.bdf not in self.others]
        missing = set(found.missing)
        if found.gpus:
            self.lost += [
                f"{one.ids.bdf}: {one.health_reason or 'the driver lists it, and no other source shows it'}"
                for one in rest
                if one.ids.bdf in missing
            ]
        if missing or not found.gpus:
            found.add(Reading(devices=tuple(rest)))

    def _conclude(self, found: Found, cards: Sequence[PciDevice] | None, driver: bool) -> DetectionReport:
        found.fill(from_pci(cards or ()))
        found.fill(
            [
                Device(ids=DeviceIds(index=gpu), numa_node=node)
                for gpu, node in self.topology.numa_nodes.items()
            ]
        )
        if self.nvlinks:
            found.fill([_with_rate(one) for one in self.nvlinks])
        found.gpus = [
            attrs.evolve(one, slice_of=identity(one, found.gpus))
            if self.shared or is_virtual(one.name)
            else one
            for one in found.gpus
        ]
        missing = set(found.missing) - self.others
        self.lost += [
            f"{card.bdf} is bound to {card.driver}, not to NVIDIA's driver"
            for card in cards or ()
            if card.bdf in missing and card.driver not in (None, "nvidia")
        ]
        pci_ids = {card.bdf: card.device for card in cards or ()}
        devices = self._numbered(with_specifications(found.devices(), pci_ids))
        return conclude(
            "cuda",
            self.ladder,
            None if cards is None else [card for card in cards if card.bdf not in self.others],
            devices,
            links=self._links(devices),
            lost=self.lost,
            somewhere=driver,
        )

    def _numbered(self, devices: list[Device]) -> list[Device]:
        """Number devices as the runtime does; nobody knows it where the variable itself is not known."""
        visible, order = self.ladder.probe.environ(DEVICES), self.ladder.probe.environ(ORDER)
        if isinstance(visible, Unknown):
            return devices
        return numbered(devices, visible, None if isinstance(order, Unknown) else order)

    def _links(self, devices: list[Device]) -> list[LinkProfile]:
        if self.library is not None and self.library.reading.devices:
            return links_by_library(devices, self.library)
        return links_by_tool(devices, self.topology, self.nvlinks)


def _with_rate(links: NvLinks) -> Device:
    total = links.total_gbps
    if total is None:
        return links.device
    source = f"nvidia-smi nvlink -s: {links.active} active links, one direction"
    return attrs.evolve(
        links.device, figures=(("nvlink_bandwidth", Figure(value=total, unit="GB/s", source=source)),)
    )
