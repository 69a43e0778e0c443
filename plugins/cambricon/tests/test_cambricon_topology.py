"""The matrix of ``cnmon topo -m`` and the ports of MLU-Link."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from sage_infer_cambricon.links import links_of, with_numa_of_affinity
from sage_infer_cambricon.parsing.topology import Matrix, parse_ports, parse_topology
from sage_infer_cambricon.simulated.formats import ports, topology
from sage_infer_contracts.detecting.devices import Device
from sage_infer_contracts.detecting.ladder import Ladder
from sage_infer_contracts.devices import DeviceIds
from sage_infer_contracts.probe import ProbeRecording

CODES = ("MLK", "MUL", "CPU", "SYS", "SGL", "MUL/MLK")


@st.composite
def matrices(draw: st.DrawFn) -> tuple[list[int], dict[tuple[int, int], str], dict[int, str]]:
    cards = draw(st.lists(st.integers(0, 31), min_size=2, max_size=6, unique=True))
    codes = {}
    for one in cards:
        for other in cards:
            if one < other:
                codes[one, other] = codes[other, one] = draw(st.sampled_from(CODES))
    cpus = {card: draw(st.sampled_from(("0-27,56-83", "0", "28-55"))) for card in cards}
    return cards, codes, cpus


@settings(max_examples=25, deadline=None)
@given(matrices(), st.randoms())
def test_what_is_printed_is_read_otherwise(
    case: tuple[list[int], dict[tuple[int, int], str], dict[int, str]], random: object
) -> None:
    cards, codes, cpus = case
    read = parse_topology(topology(codes, cards, cpus))
    assert (dict(read.codes), dict(read.cpus)) == (codes, cpus)
    pairs, doubts = read.links()
    assert doubts == []
    assert pairs == {pair: code for pair, code in codes.items() if pair[0] < pair[1]}
    shuffled = list(cards)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    again = parse_topology(topology(codes, shuffled, cpus).replace("  ", " \t"))
    assert (dict(again.codes), dict(again.cpus)) == (codes, cpus)


@pytest.mark.parametrize("width", [60, 80, 100])
def test_a_terminal_that_breaks_lines_loses_links(width: int) -> None:
    cards = range(16)
    codes = {
        (one, other): "MLK" if one // 8 == other // 8 else "CPU"
        for one in cards
        for other in cards
        if one != other
    }
    cpus = dict.fromkeys(cards, "0-27,56-83")
    whole = topology(codes, cards, cpus)
    text = "\n".join(
        line[at : at + width] for line in whole.split("\n") for at in range(0, max(1, len(line)), width)
    )
    read = parse_topology(text)
    assert set(read.codes.items()) <= set(codes.items())
    if width % 8 == 0:  # else names of cards are cut apart
        assert dict(read.codes) == codes


def test_noise_below_half_a_row_is_no_link() -> None:
    header = "        MLU0    MLU1    MLU2    CPU Affinity\n"
    text = header + "MLU0    X       MLK\nNo running processes found\nMLU1    MLK\n"
    assert parse_topology(text).codes == {}


def test_a_matrix_that_contradicts_itself_is_believed() -> None:
    text = topology({(0, 1): "MLK", (1, 0): "CPU", (0, 2): "CPU", (2, 0): "CPU"}, [0, 1, 2], {})
    pairs, doubts = parse_topology(text).links()
    assert pairs == {(0, 2): "CPU"}
    assert doubts == ["cards 0 and 1 are linked by MLK one way and CPU the other"] or doubts == [
        "cards 0 and 1 are linked by CPU one way and MLK the other"
    ]


def test_a_cut_invents_a_link() -> None:
    codes = {(one, other): "MLK" for one in range(4) for other in range(4) if one != other}
    text = topology(codes, range(4), {0: "0-27"})
    for end in range(len(text)):
        read = parse_topology(text[:end])
        assert set(read.codes.items()) <= set(codes.items())
        assert set(read.cpus.items()) <= {(0, "0-27")}


def test_other_output_has_links() -> None:
    for text in (
        "",
        "MLU0 MLU1\n",
        "MLU0 X MLK\n",
        "MLU0  MLU0\nMLU0 X MLK\n",
        "Legend:\n  MLK = MLU-Link\n",
        "x" * 2**20,
    ):
        assert parse_topology(text).codes == {}


def test_a_link_has_two_names_for_one_end() -> None:
    devices = [
        Device(ids=DeviceIds(index=0, uuid="MLU-a")),
        Device(ids=DeviceIds(index=1, bdf="0000:3d:00.0")),
        Device(ids=DeviceIds(index=2)),
        Device(ids=DeviceIds(index=0), key="instance 1"),
    ]
    links, _ = links_of(devices, Matrix({(0, 1): "MLK", (1, 0): "MLK", (1, 2): "CPU", (0, 9): "CPU"}))
    assert [(link.source, link.destination, link.kind) for link in links] == [
        ("MLU-a", "0000:3d:00.0", "MLK"),
        ("0000:3d:00.0", "MLU2", "CPU"),
    ]


def test_ports_are_counted_otherwise() -> None:
    assert parse_ports(ports(4, 6)) == (4, 6)
    assert parse_ports(ports(0, 6)) == (0, 6)
    assert parse_ports("Card 3 is not existed\n") is None
    assert parse_ports("Link 0 Status : Enabled\nLink 1 Status : N/A\n") == (1, 1)


def test_affinity_is_a_node_where_it_is_in_two() -> None:
    machine = ProbeRecording(
        files={
            f"/sys/devices/system/node/node{node}/cpulist": f"{4 * node}-{4 * node + 3}\n"
            for node in range(2)
        },
        directories={"/sys/devices/system/node": ("has_cpu", "node0", "node1", "online")},
    )
    devices = [Device(ids=DeviceIds(index=number)) for number in range(3)]
    matrix = Matrix(cpus={0: "4-7", 1: "0-7", 2: "5"})
    found = with_numa_of_affinity(Ladder(machine.replay()), devices, matrix)
    assert [one.numa_node for one in found] == [1, None, 1]
    assert [
        one.numa_node for one in with_numa_of_affinity(Ladder(ProbeRecording().replay()), devices, matrix)
    ] == [None] * 3
