"""Links between devices and the NUMA node of each, from sysfs and the tool's matrix."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from sage_infer_contracts.detecting.devices import Device
from sage_infer_contracts.detecting.ladder import Ladder
from sage_infer_contracts.detecting.text import whole
from sage_infer_contracts.devices import LinkProfile
from sage_infer_contracts.probe import PciDevice

from .parsing.topology import Topology


def with_numa(ladder: Ladder, device: Device, card: PciDevice | None, topology: Topology) -> Device:
    """Return the device with its NUMA node: as the bus tells it, else as the matrix does. -1 is the bus not knowing."""
    bdf = device.ids.bdf
    path = f"/sys/bus/pci/devices/{bdf}/numa_node"
    node = card.numa_node if card is not None else whole(ladder.file(path)) if bdf is not None else None
    if node is None or node < 0:
        node = device.numa_node
    if node is None and device.ids.index is not None:
        node = topology.numa.get(device.ids.index)
    return attrs.evolve(device, numa_node=node)


def links_of(devices: Sequence[Device], topology: Topology) -> list[LinkProfile]:
    """Return the links between devices that have a UUID or an address to be named by."""
    names = {one.ids.index: one.ids.uuid or one.ids.bdf for one in devices if one.ids.index is not None}
    found = []
    for (one, other), kind in sorted(topology.links.items()):
        source, destination = names.get(one), names.get(other)
        if source is not None and destination is not None:
            found.append(LinkProfile(source=source, destination=destination, kind=kind))
    return found
