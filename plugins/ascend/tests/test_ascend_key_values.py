"""Answers about single NPUs, names of systems-on-chip, and the matrix of links."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from sage_infer_ascend.chips import needs_board, soc_of, soc_of_name
from sage_infer_ascend.parsing.boards import Board, parse_boards
from sage_infer_ascend.parsing.listing import parse_list
from sage_infer_ascend.parsing.topology import Label, parse_topology
from sage_infer_ascend.parsing.usages import parse_chips
from sage_infer_ascend.simulated import formats
from sage_infer_ascend.simulated.formats import Npu
from sage_infer_ascend.simulated.machines import a2, a3, all_to_all

MIB = 2**20
TWO = [
    Npu(npu=1, chip=chip, logic=chip, name="310P3", total_mib=21525, busy_percent=7 + chip) for chip in (0, 1)
]


def test_chips_of_a_list_are_miscounted() -> None:
    assert [(one.npu, one.chips) for one in parse_list(formats.listing("310P", TWO))] == [(1, 2)]
    assert [(one.npu, one.chips) for one in parse_list(formats.listing("A5", [Npu(), Npu(npu=1)]))] == [
        (0, None),
        (1, None),
    ]


@pytest.mark.parametrize("write", [formats.usages, formats.common])
def test_values_go_to_another_chip(write) -> None:  # type: ignore[no-untyped-def]  # one of two functions
    facts = parse_chips("warning: hello\n" + write("310P", TWO))
    assert [(one.npu, one.chip, one.busy_percent) for one in facts] == [(1, 0, 7), (1, 1, 8)]


def test_answers_one_after_the_other_are_more_chips() -> None:
    text = formats.usages("310P", TWO) + formats.common("310P", TWO) + formats.usages("310P", TWO)
    facts = parse_chips(text)
    assert [(one.npu, one.chip, one.total_bytes) for one in facts] == [
        (1, 0, 21525 * MIB),
        (1, 1, 21525 * MIB),
    ]
    assert [one.temperature_c for one in facts] == [37, 37]


def test_answers_about_several_npus_are_about_the_first() -> None:
    npus = [Npu(npu=at, bus=16 + at, total_mib=8192 * (at + 1)) for at in range(3)]
    facts = parse_chips("".join(formats.usages("A2", [one]) for one in npus))
    assert [(one.npu, one.total_bytes) for one in facts] == [(at, 8192 * (at + 1) * MIB) for at in range(3)]
    found = parse_boards("".join(formats.board("A2", one) for one in npus))
    assert [(one.npu, one.bdf) for one in found] == [(one.npu, one.bdf.lower()) for one in npus]


def test_memory_of_the_wrong_kind_is_reported() -> None:
    assert [one.total_bytes for one in parse_chips(formats.usages("310P", TWO))] == [21525 * MIB] * 2
    assert [one.total_bytes for one in parse_chips(formats.usages("910A", [Npu(total_mib=32768)]))] == [
        32768 * MIB
    ]


def test_cores_and_power_are_lost() -> None:
    (one,) = parse_chips(formats.common("A2", [Npu(cores=20, power_w=91.8, temperature_c=38)]))
    assert (one.cores, one.power_w, one.temperature_c) == (20, 91.8, 38)


@pytest.mark.parametrize("write", [formats.usages, formats.common])
def test_a_cut_answer_invents_a_chip(write) -> None:  # type: ignore[no-untyped-def]  # one of two functions
    text = write("310P", TWO)
    whole = {(one.npu, one.chip) for one in parse_chips(text)}
    for end in range(len(text)):
        assert {(one.npu, one.chip) for one in parse_chips(text[:end])} <= whole, f"cut at {end}"


@pytest.mark.parametrize(
    ("board", "soc"),
    [
        (Board(chip_type="Ascend", chip_name="310P3"), "ascend310p3"),
        (Board(chip_type="Ascend", chip_name="910B1"), "ascend910b1"),
        (Board(chip_type="Ascend", chip_name="910B4-1"), "ascend910b4-1"),
        (Board(chip_name="Ascend910", npu_name="9391"), "ascend910_9391"),
        (Board(chip_name="Ascend950PR", npu_name="9579"), "ascend950pr_9579"),
        (Board(chip_name="A2G3"), "ascend910b1"),
        (Board(chip_name="Ascend910"), None),
        (Board(chip_name="Mcu"), None),
        (Board(), None),
    ],
)
def test_a_system_on_chip_is_misnamed(board: Board, soc: str | None) -> None:
    assert soc_of(board) == soc


def test_names_that_tell_are_asked_about() -> None:
    assert soc_of_name("Ascend 910B3") == "ascend910b3"
    told = ("910B3", "Ascend 910B4-1", "310P3", "910A", "310")
    assert [name for name in told if needs_board(name)] == []
    assert all(needs_board(name) for name in ("Ascend910", "Ascend950PR", "xxx", None))


@pytest.mark.parametrize("family", ["310P", "A2", "A3", "A5", "A5_UB"])
def test_what_a_board_shows_is_not_what_is_read(family) -> None:  # type: ignore[no-untyped-def]  # a family
    on_pci = family != "A5_UB"
    text = formats.board(family, Npu(npu=3, npu_name="9391", bus=0xC1 if on_pci else None))
    (board,) = parse_boards(text)
    assert (board.npu, board.chip_name, board.software_version) == (3, "910B3", "25.5.1")
    assert board.bdf == ("0000:c1:00.0" if on_pci else None)
    assert board.npu_name == ("9391" if family in ("A3", "A5", "A5_UB") else None)


@pytest.mark.parametrize(
    ("said", "die"),
    [
        ("14036E64 00E04F1D 1223F2B2 84528485 104301E2", "14036E64-00E04F1D-1223F2B2-84528485-104301E2"),
        ("V1, 14036E64 00E04F1D 1223F2B2 84528485 104301E2", "14036E64-00E04F1D-1223F2B2-84528485-104301E2"),
        ("00000000 00000000 00000000 00000000 00000000", None),
        ("14036E64 00E04F1D 84,528,485", None),
        ("NA", None),
    ],
)
def test_half_an_id_of_a_die_is_an_id(said: str, die: str | None) -> None:
    (board,) = parse_boards(
        f"\tNPU ID                         : 1\n\tVDie ID                        : {said}\n"
    )
    assert board.die == die


def test_a_matrix_is_misread() -> None:
    host = a3(2)
    found = parse_topology(formats.topology("A3", host.npus, host.kinds or ()))
    assert [str(label) for label in found.labels] == ["Phy-ID0", "Phy-ID1", "Phy-ID2", "Phy-ID3"]
    assert {f"{one} {other}": kind for (one, other), kind in found.paths.items()} == {
        "Phy-ID0 Phy-ID1": "SIO",
        "Phy-ID0 Phy-ID2": "HCCS_SW",
        "Phy-ID0 Phy-ID3": "HCCS_SW",
        "Phy-ID1 Phy-ID2": "HCCS_SW",
        "Phy-ID1 Phy-ID3": "HCCS_SW",
        "Phy-ID2 Phy-ID3": "SIO",
    }


@given(
    st.integers(2, 8).flatmap(
        lambda n: st.lists(
            st.lists(
                st.sampled_from(("HCCS", "PIX", "PXB", "PHB", "SYS", "UB", "NA")), min_size=n, max_size=n
            ),
            min_size=n,
            max_size=n,
        )
    )
)
@settings(max_examples=25, deadline=None)
def test_both_ends_disagree_and_one_is_believed(kinds: list[list[str]]) -> None:
    number = len(kinds)
    npus = [Npu(npu=at, logic=at) for at in range(number)]
    found = parse_topology("noise\n" + formats.topology("A2", npus, kinds, ["0-23"] * number))
    for i in range(number):
        for j in range(i + 1, number):
            path = found.paths.get((Label("NPU", i), Label("NPU", j)))
            assert path == (kinds[i][j] if kinds[i][j] == kinds[j][i] != "NA" else None)
    doubts = [(i, j) for i in range(number) for j in range(i) if kinds[i][j] != kinds[j][i]]
    assert len(found.doubts) == len(doubts)
    assert set(found.cpus.values()) == {"0-23"}


def test_a_cut_matrix_shows_what_the_whole_one_does_not() -> None:
    host = a2(4)
    text = formats.topology("A2", host.npus, host.kinds or (), host.cpus)
    whole = parse_topology(text)
    for end in range(len(text)):
        found = parse_topology(text[:end])
        assert found.labels == whole.labels[: len(found.labels)]
        assert set(found.paths.items()) <= set(whole.paths.items()), f"cut at {end}"


def test_a_row_is_lost_in_silence_or_for_an_unknown_cell() -> None:
    host = a2(3)
    text = formats.topology("A2", host.npus, host.kinds or (), host.cpus)
    row = next(line for line in text.splitlines() if line.startswith("NPU1"))
    assert parse_topology(text).doubts == ()
    assert parse_topology(text.replace(row + "\n", "")).doubts == ("NPU1 has no row in the matrix",)
    unknown = parse_topology(
        text.replace(row, row.replace("HCCS", "N/A ", 1)).replace("X          HCCS", "X          N/A ", 1)
    )
    assert (len(unknown.labels), len(unknown.paths), unknown.doubts) == (3, 2, ())


def test_a_wrapped_matrix_is_lost() -> None:
    npus = [Npu(npu=at, logic=at) for at in range(8)]
    text = formats.topology("A2", npus, all_to_all(8, "HCCS"), ["0-23"] * 8)
    lines = [line.ljust(111) if line.startswith("NPU") else line for line in text.splitlines()]
    wrapped = "\n".join(line[at : at + 60] for line in lines for at in range(0, max(1, len(line)), 60)) + "\n"
    assert len(parse_topology(wrapped).paths) == 28
