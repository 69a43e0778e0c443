"""Host memory as the tier ``dram``, and NUMA nodes."""

from __future__ import annotations

import re

from sage_infer_contracts.devices import MemoryTierSpec, NumaNode

from .asking import Asker
from .cgroups import Limits
from .parsing import cpu_list, fields, kibibytes, number

_NODE = "/sys/devices/system/node"


def read_dram(ask: Asker, limits: Limits) -> MemoryTierSpec | None:
    """Read the memory this process can use; None when nobody says how much there is."""
    values = fields(ask.file("/proc/meminfo"))
    total, free = kibibytes(values.get("MemTotal")), kibibytes(values.get("MemAvailable"))
    if total is None:
        total, free = number(ask.output("sysctl", "-n", "hw.memsize")), None
    ask.step("/proc/meminfo and memory limits", total is not None)
    if not total:
        return None
    capacity = min(total, limits.memory_bytes or total)
    left = [one for one in (free, limits.memory_available_bytes) if one is not None]
    return MemoryTierSpec(
        name="dram",
        capacity_bytes=capacity,
        available_bytes=min(*left, capacity) if left and free is not None else None,
    )


def read_numa(ask: Asker, online: tuple[int, ...]) -> tuple[NumaNode, ...]:
    """Read the NUMA nodes with their online processors; nodes that are malformed are left out."""
    names = [name for name in ask.folder(_NODE) if re.fullmatch(r"node[0-9]{1,5}", name, re.ASCII)]
    nodes = [node for name in names if (node := _node(ask, int(name[4:]), online)) is not None]
    ask.step(_NODE, bool(nodes))
    return tuple(sorted(nodes, key=lambda node: node.node))


def _node(ask: Asker, node: int, online: tuple[int, ...]) -> NumaNode | None:
    cpus = cpu_list(ask.file(f"{_NODE}/node{node}/cpulist"))
    if cpus is None:
        return None
    meminfo = ask.file(f"{_NODE}/node{node}/meminfo") or ""
    match = re.search(rf"^Node {node} MemTotal:\s*(.*)$", meminfo, re.MULTILINE)
    distances = [number(part) for part in (ask.file(f"{_NODE}/node{node}/distance") or "").split()]
    whole = tuple(distance for distance in distances if distance is not None)
    return NumaNode(
        node=node,
        cpus=tuple(cpu for cpu in cpus if cpu in set(online)),
        memory_bytes=kibibytes(match[1]) if match else None,
        distances=whole if len(whole) == len(distances) else (),
    )
