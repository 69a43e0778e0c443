"""Questions about a profile."""

from __future__ import annotations

from sage_infer.hal import links_between, memory_tiers_for, numa_of
from sage_infer_contracts.devices import (
    AcceleratorDescriptor,
    DeviceIds,
    HardwareProfile,
    LinkProfile,
    MemoryTierSpec,
    NumaNode,
)

CARDS = tuple(
    AcceleratorDescriptor(
        hardware_backend="acme",
        name="X1",
        ids=DeviceIds(uuid=f"U{n}", bdf=f"0000:0{n}:00.0"),
        numa_node=n % 2,
    )
    for n in range(3)
)
TIERS = tuple(
    MemoryTierSpec(name=name, capacity_bytes=1, numa_node=node)
    for name, node in (("far", 0), ("anywhere", None), ("near", 1))
)
PROFILE = HardwareProfile(
    accelerators=CARDS,
    links=(
        LinkProfile(source="U0", destination="0000:01:00.0", kind="fast"),
        LinkProfile(source="U1", destination="host", kind="slow"),
    ),
    memory_tiers=TIERS,
    numa_nodes=(
        NumaNode(node=0, cpus=(0,), distances=(10, 21)),
        NumaNode(node=1, cpus=(1,), distances=(21, 10)),
    ),
)


def test_a_link_is_missed_by_direction_or_by_name() -> None:
    for one, other in (("U0", "U1"), ("U1", "U0"), ("0000:00:00.0", "0000:01:00.0")):
        assert [link.kind for link in links_between(PROFILE, one, other)] == ["fast"]
    assert [link.kind for link in links_between(PROFILE, "host", "0000:01:00.0")] == ["slow"]
    assert links_between(PROFILE, "U0", "U2") == []


def test_a_devices_node_is_guessed() -> None:
    assert (numa_of(PROFILE, "U1"), numa_of(PROFILE, "0000:02:00.0"), numa_of(PROFILE, "absent")) == (
        1,
        0,
        None,
    )


def test_tiers_come_in_the_wrong_order() -> None:
    assert [tier.name for tier in memory_tiers_for(PROFILE, "U1")] == ["near", "anywhere", "far"]
    assert [tier.name for tier in memory_tiers_for(PROFILE)] == ["far", "anywhere", "near"]
    assert [tier.name for tier in memory_tiers_for(PROFILE, "absent")] == ["far", "anywhere", "near"]
