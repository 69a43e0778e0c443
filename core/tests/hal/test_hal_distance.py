"""Distances of devices: the nearest link counts, NUMA stands in, and what nobody said is no distance."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from sage_infer.hal import Distance, distance_matrix
from sage_infer.hal.distance import distance_of
from sage_infer_contracts.devices import AcceleratorDescriptor, DeviceIds, HardwareProfile, LinkProfile


def card(number: int, *, numa: int | None = None, slice_of: str | None = None) -> AcceleratorDescriptor:
    ids = DeviceIds(uuid=f"U{number}", bdf=f"0000:{number:02x}:00.0")
    return AcceleratorDescriptor(
        hardware_backend="acme", name="X1", ids=ids, numa_node=numa, slice_of=slice_of
    )


def link(one: int, other: int, kind: str) -> LinkProfile:
    return LinkProfile(source=f"U{one}", destination=f"0000:{other:02x}:00.0", kind=kind)


@pytest.mark.parametrize(
    ("kind", "distance"),
    [
        *((kind, "LINK") for kind in ("NV18", "HCCS", "XL", "MUL", "XGMI")),
        *((kind.lower(), kind) for kind in ("PIX", "PXB", "PHB", "NODE", "SYS")),
        *((kind, "UNKNOWN") for kind in ("PCIE", "NA", "", "tcp")),
        ("X", "SELF"),
    ],
)
def test_a_links_kind_has_another_class(kind: str, distance: str) -> None:
    assert distance_of(kind) is Distance[distance]


def test_a_distance_is_guessed_or_the_farther_link_counts() -> None:
    profile = HardwareProfile(
        accelerators=(card(0, numa=0), card(1, numa=0), card(2, numa=1), card(3)),
        links=(link(0, 1, "PIX"), link(1, 0, "NV4"), link(0, 2, "PCIE")),
    )
    matrix = distance_matrix(profile)
    assert matrix.devices == ("U0", "U1", "U2", "U3")
    assert [distance.name for distance in matrix.distances[0]] == ["SELF", "LINK", "SYS", "UNKNOWN"]
    assert matrix.between("U1", "U2") is Distance.SYS
    assert matrix.nearest("U0") == ["U1", "U2", "U3"]
    with pytest.raises(KeyError):
        matrix.between("U0", "U9")


def test_slices_of_one_card_are_far_apart() -> None:
    profile = HardwareProfile(accelerators=(card(0), card(8, slice_of="U0"), card(9, slice_of="U0"), card(1)))
    names = [[one.name for one in row] for row in distance_matrix(profile).distances]
    assert names[1] == ["SELF", "SELF", "SELF", "UNKNOWN"]


def test_devices_without_names_are_one() -> None:
    nameless = AcceleratorDescriptor(hardware_backend="acme", name="X1")
    matrix = distance_matrix(HardwareProfile(accelerators=(nameless, nameless.model_copy())))
    assert matrix.devices == ("#0", "#1")
    assert matrix.between("#0", "#1") is Distance.UNKNOWN


@given(
    st.lists(st.none() | st.integers(0, 1), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.sampled_from(("PIX", "SYS", "NV2", "NA")))),
)
def test_there_and_back_differ(nodes: list[int | None], ends: list[tuple[int, int, str]]) -> None:
    links = tuple(link(*end) for end in ends)
    accelerators = tuple(card(number, numa=node) for number, node in enumerate(nodes))
    rows = distance_matrix(HardwareProfile(accelerators=accelerators, links=links)).distances
    assert rows == tuple(zip(*rows, strict=True))
    assert all(row[place] is Distance.SELF for place, row in enumerate(rows))
