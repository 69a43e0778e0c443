"""HygonDetector: DCUs as hardware ``hygon``."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from sage_infer_contracts.detecting.conclude import conclude
from sage_infer_contracts.detecting.devices import Device, merged
from sage_infer_contracts.detecting.ladder import Ladder
from sage_infer_contracts.detecting.text import whole
from sage_infer_contracts.detection import DetectionReport
from sage_infer_contracts.devices import DeviceIds, LinkProfile
from sage_infer_contracts.probe import PciDevice, Probe

from .chips import chip_of
from .gate import NAME, own_cards
from .identity import unique_id, without_shared_ids
from .parsing.rocminfo import Agent
from .parsing.topology import links_of
from .placing import place
from .readings import device_id, from_agent, from_row, in_slices
from .slices import made_shares, read_instances, with_shares
from .software import Software, driver_version, read_software, with_software
from .survey import Survey, survey
from .visible import numbered


class HygonDetector:
    """A pure function of a probe; see :class:`~sage_infer_contracts.detection.HardwareDetector`.

    PCI decides whose machine it is, and its list of cards is what the tools are held against. Where it shows no DCU, no
    tool is run. ``hy-smi`` gives numbers, names, memory and loads, ``rocminfo`` architectures and compute units, sysfs
    NUMA nodes, render nodes and the driver.
    """

    hardware_backend = NAME

    def detect(self, probe: Probe) -> DetectionReport:
        """Report DCUs, their links, and what does not fit together."""
        ladder = Ladder(probe)
        cards = own_cards(ladder)
        software = read_software(ladder)
        if cards is not None and not cards:
            return _without_cards(ladder, software)
        found = survey(ladder, cards)
        driver = software.driver or driver_version(found.system.get("driver version"))
        software = attrs.evolve(software, driver=driver)
        placed = place(_devices(found), cards)
        devices = [_with_minor(ladder, one) for one in _with_nodes(ladder, placed.devices, found)]
        chips = [_chip(one, found, cards) for one in devices]
        devices = [
            attrs.evolve(one, name=one.name or chip, chip=chip)
            for one, chip in zip(devices, chips, strict=True)
        ]
        devices = with_software(devices, chips, software)
        devices = with_shares(ladder, numbered(ladder, devices, _orders(found.agents)))
        links, disagreements = _links(found, devices)
        cut = {row.index for row in found.rows if in_slices(row)}
        parts = [*read_instances(ladder, devices, cut), *made_shares(devices, found.shares)]
        return conclude(
            NAME,
            ladder,
            placed.shown if devices else cards,
            [*devices, *parts],
            links=links,
            lost=(*placed.lost, *disagreements),
            somewhere=software.loaded,
        )


def _without_cards(ladder: Ladder, software: Software) -> DetectionReport:
    """Without a card on the bus there is none to ask for; a driver that is loaded all the same is worth a word."""
    here = software.loaded or "mkfd" in ladder.folder("/dev")
    lost = ("Hygon's driver is loaded, and no DCU is on the bus",) if here else ()
    return conclude(NAME, ladder, (), (), lost=lost, somewhere=here)


def _devices(found: Survey) -> list[Device]:
    devices = [from_row(row) for row in found.rows]
    agents = without_shared_ids([from_agent(agent) for agent in found.agents])
    return merged(without_shared_ids(devices), agents, add=not devices)


def _with_nodes(ladder: Ladder, devices: Sequence[Device], found: Survey) -> list[Device]:
    """Give devices the NUMA node that the tool prints, where the bus has none; where they differ a step says so."""
    printed = {
        row.index: node for row in found.rows if (node := whole(row.values.get("numa node"))) is not None
    }
    nodes = {**printed, **found.topology.numa_nodes}
    differing = [
        f"{one.ids.bdf} is at {one.numa_node} and by the tool at {nodes[one.ids.index]}"
        for one in devices
        if one.ids.index in nodes and one.numa_node not in (None, nodes[one.ids.index])
    ]
    if differing:
        ladder.note("NUMA nodes of the bus", "used", "; ".join(differing))
    return merged(
        devices,
        [Device(ids=DeviceIds(index=index), numa_node=node) for index, node in sorted(nodes.items())],
    )


def _with_minor(ladder: Ladder, device: Device) -> Device:
    """Give a device the number of its node ``/dev/dri/renderDN``, which a container needs to use it."""
    if device.ids.bdf is None:
        return device
    names = ladder.folder(f"/sys/bus/pci/devices/{device.ids.bdf}/drm")
    numbers = [name.removeprefix("renderD") for name in names if name.startswith("renderD")]
    if len(numbers) != 1 or not (numbers[0].isascii() and numbers[0].isdigit() and len(numbers[0]) < 6):
        return device
    return attrs.evolve(device, ids=device.ids.model_copy(update={"minor": int(numbers[0])}))


def _chip(device: Device, found: Survey, cards: Sequence[PciDevice] | None) -> str | None:
    """Return the name of the chip, by the bus or else by the tool's device id."""
    on_bus = [card.device for card in cards or () if card.bdf == device.ids.bdf]
    printed = [device_id(row.values) for row in found.rows if row.index == device.ids.index]
    uuid = device.ids.uuid
    seen = [agent.chip_id for agent in found.agents if uuid is not None and unique_id(agent.uuid) == uuid]
    wanted = next((one for one in (*on_bus, *printed, *seen) if one is not None), None)
    chip = chip_of(wanted, device.name)
    return chip.name if chip else None


def _orders(agents: Sequence[Agent]) -> dict[str, int]:
    pairs = [(key, one.order) for one in agents for key in (unique_id(one.uuid), one.bdf) if key]
    return {key: order for key, order in pairs if sum(other == key for other, _ in pairs) == 1}


def _links(found: Survey, devices: Sequence[Device]) -> tuple[tuple[LinkProfile, ...], tuple[str, ...]]:
    """Return links between devices that are reported, each named by its UUID, its address, or as the tool does."""
    labels = {row.index: row.label or "HCU" for row in found.rows}
    names = {
        one.ids.index: one.ids.uuid or one.ids.bdf or f"{labels.get(one.ids.index, 'HCU')}[{one.ids.index}]"
        for one in devices
        if one.ids.index is not None
    }
    links = links_of(found.topology)
    profiles = (
        LinkProfile(source=names[one], destination=names[other], kind=kind)
        for (one, other), kind in links.kinds.items()
        if one in names and other in names
    )
    return tuple(profiles), links.disagreements
