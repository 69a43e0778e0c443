"""Links between devices from the tool's matrix, and the NUMA node of each from sysfs or from the matrix's CPUs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from sage_infer_contracts.detecting.devices import Device
from sage_infer_contracts.detecting.ladder import Ladder
from sage_infer_contracts.detecting.text import whole
from sage_infer_contracts.devices import Figure, LinkProfile
from sage_infer_contracts.probe import PciDevice

from .devices import same_places
from .parsing.topology import Label, Topology

_NODES = "/sys/devices/system/node"
_BANDWIDTH = {
    "SIO": Figure(
        value=224,
        unit="GB/s",
        source="specification, one direction: Huawei msmodeling tensor_cast/device.py, A3_752T_128G_DIE ",
    )
}
"""Of the kinds of link, what one of them carries; what the others do depends on the machine, and no source tells."""


def places(topology: Topology, devices: Sequence[Device]) -> dict[Label, int]:
    """Return the index in ``devices`` of each label; none unless one kind of id tells all of them apart."""
    orders = {"NPU": ("logical", "index", "physical"), "Phy-ID": ("physical", "logical", "index")}
    for kind in {label.kind: None for label in topology.labels}:
        for name in orders[kind]:
            numbers = [getattr(device.ids, name) for device in devices]
            if all(numbers.count(label.number) == 1 for label in topology.labels):
                return {label: numbers.index(label.number) for label in topology.labels}
    return {}


def links_of(topology: Topology, devices: Sequence[Device]) -> list[LinkProfile]:
    """Return each connection once. Ends are UUIDs or PCI addresses; the tool's label where a device has none."""
    at, shared = places(topology, devices), same_places(devices)
    known = {*at, *topology.labels}
    names = {label: _name(devices[at[label]] if label in at else None, label, shared) for label in known}
    return [
        LinkProfile(
            source=names[one],
            destination=names.get(other, str(other)),
            kind=kind,
            bandwidth=_BANDWIDTH.get(kind),
        )
        for (one, other), kind in topology.paths.items()
        if other in names
    ]


def _name(device: Device | None, label: Label, shared: set[str]) -> str:
    if device is None:
        return str(label)
    own = device.ids.bdf if device.ids.bdf not in shared else None
    return device.ids.uuid or own or str(label)


def with_numa(
    devices: Sequence[Device],
    ladder: Ladder,
    cards: Sequence[PciDevice] | None,
    topology: Topology,
) -> list[Device]:
    """Return the devices with the NUMA node of each: as the bus tells it, else the one that has the CPUs near it."""
    on_bus = {card.bdf: card.numa_node for card in cards or ()}
    near = {index: topology.cpus.get(label) for label, index in places(topology, devices).items()}
    nodes = _cpus_of_nodes(ladder) if any(near.values()) else {}
    found: list[Device] = []
    for index, device in enumerate(devices):
        bdf = device.ids.bdf
        node = on_bus[bdf] if bdf in on_bus else _from_sysfs(ladder, bdf) if cards is None else None
        if node is None or node < 0:
            node = _near(near.get(index), nodes)
        found.append(device.with_more(Device(numa_node=node)))
    return found


def _from_sysfs(ladder: Ladder, bdf: str | None) -> int | None:
    return whole(ladder.file(f"/sys/bus/pci/devices/{bdf}/numa_node")) if bdf is not None else None


def _near(cpus: str | None, nodes: Mapping[int, frozenset[int]]) -> int | None:
    wanted = _cpus(cpus or "")
    found = [node for node, own in nodes.items() if wanted and wanted <= own]
    return found[0] if len(found) == 1 else None


def _cpus_of_nodes(ladder: Ladder) -> dict[int, frozenset[int]]:
    names = [name for name in ladder.folder(_NODES) if re.fullmatch(r"node[0-9]{1,5}", name, re.ASCII)]
    return {int(name[4:]): _cpus((ladder.file(f"{_NODES}/{name}/cpulist") or "").strip()) for name in names}


def _cpus(text: str) -> frozenset[int]:
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, dash, last = part.partition("-")
        begin, end = whole(first), whole(last if dash else first)
        if begin is None or end is None or not begin <= end < 65536:
            return frozenset()
        found.update(range(begin, end + 1))
    return frozenset(found)
