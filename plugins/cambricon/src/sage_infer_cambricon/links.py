"""Links between devices, and NUMA nodes where only the tool's CPU affinity tells them."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from sage_infer_contracts.detecting.devices import Device
from sage_infer_contracts.detecting.ladder import Ladder
from sage_infer_contracts.devices import LinkProfile

from .parsing.topology import Matrix

_NODES = "/sys/devices/system/node"
_MOST_CPUS = 8192


def links_of(devices: Sequence[Device], matrix: Matrix) -> tuple[list[LinkProfile], list[str]]:
    """Return each pair's link once, and in words what is wrong with the matrix.

    An end is a UUID or a PCI address, or what the matrix calls a card that has neither.
    """
    if not matrix.codes:
        return [], []
    names = {
        one.ids.index: one.ids.uuid or one.ids.bdf or f"MLU{one.ids.index}"
        for one in devices
        if one.ids.index is not None and one.key is None
    }
    pairs, doubts = matrix.links()
    found = [
        LinkProfile(source=source, destination=destination, kind=code)
        for (one, other), code in pairs.items()
        if (source := names.get(one)) and (destination := names.get(other)) and source != destination
    ]
    return found, doubts


def with_numa_of_affinity(ladder: Ladder, devices: Sequence[Device], matrix: Matrix) -> list[Device]:
    """Fill in the NUMA node of a device that PCI does not tell: the one node that has all CPUs near the card."""
    wanting = [one for one in devices if one.numa_node is None and matrix.cpus.get(_number(one))]
    if not wanting:
        return list(devices)
    nodes = {
        int(name[4:]): _cpus((ladder.file(f"{_NODES}/{name}/cpulist") or "").strip())
        for name in ladder.folder(_NODES)
        if name.startswith("node") and name[4:].isdigit() and len(name) < 9
    }
    return [
        attrs.evolve(one, numa_node=_node_of(_cpus(matrix.cpus.get(_number(one), "")), nodes))
        if one.numa_node is None
        else one
        for one in devices
    ]


def _number(device: Device) -> int:
    return -1 if device.ids.index is None else device.ids.index


def _node_of(near: frozenset[int], nodes: dict[int, frozenset[int]]) -> int | None:
    fitting = [node for node, cpus in nodes.items() if near and near <= cpus]
    return fitting[0] if len(fitting) == 1 else None


def _cpus(text: str) -> frozenset[int]:
    """Read ``0-27,56-83``; nothing for what is no such list."""
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if not first.isdecimal() or (last and not last.isdecimal()):
            return frozenset()
        begin, end = int(first), int(last or first)
        if end >= _MOST_CPUS:
            return frozenset()
        found.update(range(begin, end + 1))
    return frozenset(found)
