"""Devices of several sources: merged only where they are one, and numbered as the runtime numbers them (HD-05)."""

from __future__ import annotations

import itertools

from hypothesis import given, strategies as st

from sage_infer_contracts.detecting.devices import Device, from_pci, merged
from sage_infer_contracts.detecting.visible import number_as_runtime
from sage_infer_contracts.devices import DeviceIds, Figure
from sage_infer_contracts.probe import PciDevice


def card(number: int) -> Device:
    """Return a device that knows all its identities."""
    return Device(
        ids=DeviceIds(
            index=number,
            physical=number + 10,
            minor=number + 20,
            uuid=f"U-{number}",
            bdf=f"0000:{number:02x}:00.0",
        ),
        name=f"card {number}",
    )


@st.composite
def sources(draw: st.DrawFn) -> tuple[list[Device], list[Device]]:
    """Return the same cards twice: whole, and shuffled with one identity each and a figure of its own."""
    count = draw(st.integers(1, 6))
    whole = [card(number) for number in range(count)]
    name = draw(st.sampled_from(("index", "physical", "minor", "uuid", "bdf")))
    seen = [
        Device(ids=DeviceIds(**{name: getattr(one.ids, name)}), utilisation_percent=float(number))
        for number, one in enumerate(whole)
    ]
    return whole, draw(st.permutations(seen))


@given(sources())
def test_a_figure_goes_to_another_card(both: tuple[list[Device], list[Device]]) -> None:
    whole, seen = both
    for result in (merged(whole, seen), merged(whole, seen, add=True)):
        assert [(one.name, one.utilisation_percent) for one in result] == [
            (one.name, float(number)) for number, one in enumerate(whole)
        ]


@given(sources())
def test_merging_twice_changes_something(both: tuple[list[Device], list[Device]]) -> None:
    once = merged(*both)
    assert merged(once, both[1], add=True) == once


def test_cards_with_the_same_useless_uuid_become_one() -> None:
    first = [Device(ids=DeviceIds(uuid="GPU-0", bdf=f"0000:0{n}:00.0")) for n in range(3)]
    second = [Device(ids=DeviceIds(uuid="GPU-0", bdf=f"0000:0{n}:00.0"), name=str(n)) for n in (2, 1)]
    assert [one.name for one in merged(first, second)] == [None, "1", "2"]
    alone = merged(first[:1], second, add=True)
    assert [one.ids.bdf for one in alone] == ["0000:00:00.0", "0000:02:00.0", "0000:01:00.0"]


def test_a_slice_is_taken_for_another_slice_of_its_card() -> None:
    slices = [Device(ids=DeviceIds(uuid=f"MIG-{n}", bdf="0000:01:00.0")) for n in range(2)]
    other = Device(ids=DeviceIds(uuid="MIG-9", bdf="0000:01:00.0"), name="nine")
    assert [one.name for one in merged(slices, [other], add=True)] == [None, None, "nine"]


def test_a_uuid_that_differs_is_overruled_by_an_address() -> None:
    first = [Device(ids=DeviceIds(uuid="U-1", bdf="0000:01:00.0")), Device(ids=DeviceIds(bdf="0000:02:00.0"))]
    other = Device(ids=DeviceIds(uuid="U-2", bdf="0000:01:00.0"), name="x")
    assert [one.name for one in merged(first, [other])] == [None, None]


def test_dies_at_one_address_become_one() -> None:
    dies = [Device(ids=DeviceIds(bdf="0000:01:00.0"), key=key) for key in "ab"]
    seen = [Device(ids=DeviceIds(bdf="0000:01:00.0"), key=key, name=key) for key in "ba"]
    assert [one.name for one in merged(dies, seen)] == ["a", "b"]
    unknown = Device(ids=DeviceIds(bdf="0000:01:00.0"), name="which?")
    assert [one.name for one in merged(dies, [unknown])] == [None, None]


def test_two_new_devices_of_one_source_become_one() -> None:
    seen = [Device(ids=DeviceIds(index=0), name=name) for name in "ab"]
    assert [one.name for one in merged([], seen, add=True)] == ["a", "b"]


def test_health_of_one_source_gets_the_reason_of_another() -> None:
    silent = Device(health="unknown", health_reason="not asked")
    bad = Device(health="failed", health_reason="ECC")
    assert (silent.with_more(bad).health, silent.with_more(bad).health_reason) == ("failed", "ECC")
    ok = Device(health="ok")
    assert (ok.with_more(bad).health, ok.with_more(bad).health_reason) == ("ok", None)


def test_a_figure_hides_those_of_other_sources() -> None:
    mine = Device(figures=(("power", Figure(value=1, unit="W", source="measured")),))
    other = Device(figures=tuple((name, Figure(value=2, unit="W", source="x")) for name in ("power", "cap")))
    assert {name: one.value for name, one in mine.with_more(other).figures} == {"power": 1, "cap": 2}


def test_a_measured_zero_is_taken_for_unknown() -> None:
    idle = Device(memory_used_bytes=0, utilisation_percent=0.0, numa_node=0)
    busy = Device(memory_used_bytes=5, utilisation_percent=5.0, numa_node=1)
    assert idle.with_more(busy) == idle


def test_an_unknown_numa_node_becomes_minus_one() -> None:
    known = PciDevice(bdf="0000:01:00.0", vendor="1abc", device="0001", device_class="120000", numa_node=-1)
    found = from_pci([known, known.model_copy(update={"numa_node": 1})], {"0001": "X1"})
    assert [(one.numa_node, one.name) for one in found] == [(None, "X1"), (1, "X1")]
    assert found[0].described("acme").hardware_backend == "acme"


def bus_order(device: Device) -> str:
    return device.ids.bdf or ""


def logical(
    value: str | None, *, count: int = 4, uuids: bool = True, none_at_empty: bool = True
) -> list[int | None]:
    devices = number_as_runtime(
        [card(number) for number in range(count)],
        value,
        in_order_of=bus_order,
        uuids=uuids,
        none_at_empty=none_at_empty,
    )
    return [device.ids.logical for device in devices]


def test_a_visible_variable_is_misread() -> None:
    assert logical(None) == [0, 1, 2, 3]
    assert logical("2,0") == [1, None, 0, None]
    assert logical(" 2 , 0 ") == [1, None, 0, None]
    assert logical("U-3,1") == [None, 1, None, 0]
    assert logical("") == [None] * 4
    assert logical("", none_at_empty=False) == [0, 1, 2, 3]
    assert logical("-1") == [None] * 4
    assert logical("1,7,0") == [None, 0, None, None]  # nothing counts from the first bad word on
    assert logical("1,1,0") == [None, 0, None, None]
    assert logical("U-", count=2) == [None, None]  # fits more than one
    assert logical("U-1", uuids=False) == [None] * 4


@given(st.lists(st.integers(0, 3), unique=True))
def test_a_chosen_device_is_numbered_out_of_order(chosen: list[int]) -> None:
    numbers = logical(",".join(map(str, chosen)))
    assert [numbers.index(place) for place in range(len(chosen))] == chosen
    assert numbers.count(None) == 4 - len(chosen)


@given(st.text(alphabet="0123U-, ", max_size=12))
def test_a_variable_raises_or_numbers_twice(value: str) -> None:
    given_out = [number for number in logical(value) if number is not None]
    assert sorted(given_out) == list(range(len(given_out)))


def test_devices_that_say_the_same_are_one() -> None:
    twins = [Device(name="X1"), Device(name="X1")]
    numbered = number_as_runtime(twins, "0,1", in_order_of=lambda _: 0)
    assert [one.ids.logical for one in numbered] == [0, 1]


def test_the_order_of_sources_decides_what_is_one() -> None:
    devices = [card(number) for number in range(3)]
    for order in itertools.permutations(devices):
        assert {one.ids.uuid for one in merged(list(order), devices, add=True)} == {"U-0", "U-1", "U-2"}
