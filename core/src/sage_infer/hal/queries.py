"""Questions that schedulers and planners put to a profile."""

from __future__ import annotations

from sage_infer_contracts.devices import AcceleratorDescriptor, HardwareProfile, LinkProfile, MemoryTierSpec


def numa_of(profile: HardwareProfile, device: str) -> int | None:
    """Return the NUMA node of the accelerator with UUID or PCI address ``device``; None when nobody knows."""
    found = _accelerator(profile, device)
    return None if found is None else found.numa_node


def links_between(profile: HardwareProfile, one: str, other: str) -> list[LinkProfile]:
    """Return the links between two endpoints (UUID, PCI address, ``host``, ``numa:N``), in either direction.

    A device is found under its UUID and its PCI address alike.
    """
    ones, others = _names(profile, one), _names(profile, other)
    return [
        link
        for link in profile.links
        if (link.source in ones and link.destination in others)
        or (link.source in others and link.destination in ones)
    ]


def link_endpoints(profile: HardwareProfile) -> list[str]:
    """Return the endpoints of links that are no accelerator of the profile, such as ``host`` or a network card."""
    ends = (end for link in profile.links for end in (link.source, link.destination))
    return [end for end in dict.fromkeys(ends) if _accelerator(profile, end) is None]


def memory_tiers_for(profile: HardwareProfile, device: str | None = None) -> list[MemoryTierSpec]:
    """Return the tiers a device can use, nearest NUMA node first; without ``device`` all, in the profile's order.

    Tiers whose node is unknown come after those of the device's own node.
    """
    node = None if device is None else numa_of(profile, device)
    tiers = list(profile.memory_tiers)
    return tiers if node is None else sorted(tiers, key=lambda tier: _distance(profile, node, tier.numa_node))


def _distance(profile: HardwareProfile, near: int, far: int | None) -> tuple[int, int]:
    if far is None:
        return (1, 0)
    if near == far:
        return (0, 0)
    for numa in profile.numa_nodes:
        if numa.node == near and far < len(numa.distances):
            return (2, numa.distances[far])
    return (3, 0)


def _accelerator(profile: HardwareProfile, device: str) -> AcceleratorDescriptor | None:
    for accelerator in profile.accelerators:
        if device in (accelerator.ids.uuid, accelerator.ids.bdf):
            return accelerator
    return None


def _names(profile: HardwareProfile, endpoint: str) -> set[str]:
    found = _accelerator(profile, endpoint)
    names = {endpoint} if found is None else {found.ids.uuid, found.ids.bdf}
    return {name for name in names if name is not None}
