"""How far devices are from each other, in the classes that vendors' topology matrices use."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

import attrs

from sage_infer_contracts.devices import AcceleratorDescriptor, HardwareProfile

from .queries import links_between


class Distance(IntEnum):
    """The path between two devices; a smaller number is nearer, and only the order means something.

    The numbers of SELF and of PIX to SYS are those of ``nvmlGpuTopologyLevel_t`` in NVIDIA's ``nvml.h`` (internal 0,
    single 10, multiple 20, hostbridge 30, node 40, system 50). LINK (5) and UNKNOWN (100) are placed around them as in
    gpustack/runtime, ``TopologyDistanceEnum``.
    """

    SELF = 0
    """The same device, or another slice of it."""
    LINK = 5
    """A link of the vendor's own, past PCIe."""
    PIX = 10
    """At most one PCIe bridge."""
    PXB = 20
    """Several PCIe bridges, no host bridge."""
    PHB = 30
    """A PCIe host bridge."""
    NODE = 40
    """Host bridges of one NUMA node."""
    SYS = 50
    """The interconnect between NUMA nodes."""
    UNKNOWN = 100
    """Nobody said."""


_BY_KIND = {one.name: one for one in (Distance.PIX, Distance.PXB, Distance.PHB, Distance.NODE, Distance.SYS)}
_NO_CLASS = frozenset(
    {"PCIE", "PCI", "SHM", "TCP", "RDMA", "ROCE", "IB", "NET", "NA", "N/A", "DIS", "NONE", "UNKNOWN", ""}
)
"""Kinds that name a bus or a network, or nothing, and so say no distance."""


@attrs.frozen(slots=True)
class DistanceMatrix:
    """``distances[i][j]`` between ``devices[i]`` and ``devices[j]``; devices are named by UUID, or by PCI address.

    A device without either has its place in the profile as its name (``#2``).
    """

    devices: tuple[str, ...]
    distances: tuple[tuple[Distance, ...], ...]

    def between(self, one: str, other: str) -> Distance:
        """Return the distance of two devices by name; raises KeyError for a name that is not in the matrix."""
        places = {name: place for place, name in enumerate(self.devices)}
        return self.distances[places[one]][places[other]]

    def nearest(self, device: str) -> list[str]:
        """Return the other devices, nearest first, and in the matrix's order where equally near."""
        others = [name for name in self.devices if name != device]
        return sorted(others, key=lambda name: self.between(device, name))


def distance_matrix(profile: HardwareProfile) -> DistanceMatrix:
    """Return the distance of every two accelerators: from links where there are some, else from NUMA nodes.

    Of several links the nearest counts. Without one, devices of one NUMA node are at most NODE apart and devices of two
    nodes are SYS apart; a device whose node nobody knows is UNKNOWN to all.
    """
    devices = profile.accelerators
    return DistanceMatrix(
        tuple(_name(one, place) for place, one in enumerate(devices)),
        tuple(tuple(distance_between(profile, one, other) for other in devices) for one in devices),
    )


def distance_between(
    profile: HardwareProfile, one: AcceleratorDescriptor, other: AcceleratorDescriptor
) -> Distance:
    """Return the distance of two accelerators of the profile."""
    if one is other or _one_card(one, other):
        return Distance.SELF
    linked = [distance_of(kind) for kind in _kinds(profile, one, other)]
    known = [distance for distance in linked if distance is not Distance.UNKNOWN]
    if known:
        return min(known)
    if one.numa_node is None or other.numa_node is None:
        return Distance.UNKNOWN
    return Distance.NODE if one.numa_node == other.numa_node else Distance.SYS


def distance_of(kind: str) -> Distance:
    """Return the class of a link's kind, as a tool names it; any name that is no path over PCIe is a vendor's link."""
    word = kind.strip().upper()
    if word in _NO_CLASS:
        return Distance.UNKNOWN
    if word in ("X", "SELF"):
        return Distance.SELF
    return _BY_KIND.get(word, Distance.LINK)


def _one_card(one: AcceleratorDescriptor, other: AcceleratorDescriptor) -> bool:
    """Say whether both are slices of one card, or one is a slice of the other."""
    ones, others = _whole(one), _whole(other)
    return (one.slice_of is not None or other.slice_of is not None) and bool(ones & others)


def _whole(one: AcceleratorDescriptor) -> set[str]:
    names = {one.slice_of} if one.slice_of is not None else {one.ids.uuid, one.ids.bdf}
    return {name for name in names if name is not None}


def _kinds(
    profile: HardwareProfile, one: AcceleratorDescriptor, other: AcceleratorDescriptor
) -> Sequence[str]:
    here, there = one.ids.uuid or one.ids.bdf, other.ids.uuid or other.ids.bdf
    if here is None or there is None:
        return ()
    return [link.kind for link in links_between(profile, here, there)]


def _name(one: AcceleratorDescriptor, place: int) -> str:
    return one.ids.uuid or one.ids.bdf or f"#{place}"
