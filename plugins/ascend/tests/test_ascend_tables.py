"""Parsers of npu-smi's tables, held against the formats: what is written is read, and damage invents nothing."""

from __future__ import annotations

import random
import re

import attrs
import pytest
from hypothesis import given, settings, strategies as st

from sage_infer_ascend.parsing.info_table import TableRow, parse_info
from sage_infer_ascend.parsing.mapping import parse_mapping
from sage_infer_ascend.simulated import formats
from sage_infer_ascend.simulated.formats import Family, Npu
from sage_infer_contracts.testing import Damage

FAMILIES: tuple[Family, ...] = ("310P", "910A", "A2", "A3", "A5", "A5_UB")
NAMES = {
    "310P": ("310P3", "310P1"),
    "910A": ("910A", "xxx"),
    "A2": ("910B3", "910B4-1"),
    "A3": ("Ascend910",),
    "A5": ("Ascend950PR", "Ascend950DT"),
    "A5_UB": ("Ascend950PR",),
}
MIB = 2**20
NOISE = (
    "[INFO limiter] won manager election",
    "DrvMngGetConsoleLogLevel failed. (ret=4)",
    "",
    "+----+",
    "=====",
)


@st.composite
def machines(draw: st.DrawFn) -> tuple[Family, list[Npu]]:
    family: Family = draw(st.sampled_from(FAMILIES))
    chips = draw(st.sampled_from((1, 2))) if family in ("310P", "A3") else 1
    first = draw(st.sampled_from((0, 4, 12, 32768)))
    npus = []
    for at in range(draw(st.integers(1, 8)) * chips):
        total = draw(st.sampled_from((8192, 21525, 32768, 65536, 114688)))
        npus.append(
            Npu(
                npu=first + at // chips,
                chip=at % chips,
                logic=at,
                physical=at + draw(st.sampled_from((0, 8))),
                bus=None if family == "A5_UB" else 0x10 + at,
                name=draw(st.sampled_from(NAMES[family])),
                health=draw(st.sampled_from(("OK", "Warning", "Alarm", "Critical", "UNKNOWN"))),
                power_w=draw(st.integers(0, 9999)) / 10,
                temperature_c=draw(st.integers(0, 120)),
                busy_percent=draw(st.integers(0, 100)),
                used_mib=draw(st.integers(0, total)),
                total_mib=total,
            )
        )
    return family, npus


def expected(family: Family, one: Npu) -> TableRow:
    shows_power = family != "310P" and not (family == "A3" and one.chip)
    return TableRow(
        npu=one.npu,
        chip=None if family in ("A5", "A5_UB") else one.chip,
        logic=one.logic if family == "310P" else None,
        physical=one.physical if family == "A3" else None,
        bdf=None if one.bus is None else one.bdf.lower(),
        name=one.name,
        health=one.health,
        power_w=one.power_w if shows_power else None,
        temperature_c=one.temperature_c,
        busy_percent=one.busy_percent,
        used_bytes=one.used_mib * MIB,
        total_bytes=one.total_mib * MIB,
    )


@given(machines(), st.integers(0, 40))
@settings(max_examples=25, deadline=None)
def test_what_a_table_shows_is_not_what_is_read(machine: tuple[Family, list[Npu]], extra: int) -> None:
    family, npus = machine
    table = parse_info(formats.info(family, npus, "26.0.rc2", extra=extra))
    assert list(table.rows) == [expected(family, one) for one in npus]
    assert (table.tool_version, table.driver_version) == ("26.0.rc2", "26.0.rc2")
    assert not table.cut


@given(machines(), st.integers(0, 9), st.sampled_from((0, 3)), st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None)
def test_width_noise_and_order_change_a_device(
    machine: tuple[Family, list[Npu]], widen: int, indent: int, chance: random.Random
) -> None:
    family, npus = machine
    shuffled = list(npus)
    chance.shuffle(shuffled)
    text = Damage(widen=widen, before=NOISE, after=NOISE).text(formats.info(family, shuffled))
    noisy = "".join(
        f"{' ' * indent}\x1b[32m{line}\x1b[0m\r\n"
        + (chance.choice(NOISE) + "\r\n" if chance.random() < 0.2 else "")
        for line in text.splitlines()
    )
    assert sorted(parse_info(noisy).rows, key=str) == sorted((expected(family, one) for one in npus), key=str)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_cut_table_shows_what_the_whole_one_does_not(family: Family) -> None:
    chips = 2 if family == "A3" else 1
    npus = [
        Npu(npu=at // chips, chip=at % chips, bus=None if family == "A5_UB" else 16 + at) for at in range(2)
    ]
    text = formats.info(family, npus)
    whole = parse_info(text).rows
    for end in range(len(text)):
        rows = parse_info(text[:end]).rows
        assert rows == whole[: len(rows)], f"cut at {end}"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_half_device_is_not_named_as_lost(family: Family) -> None:
    npus = [Npu(npu=at, bus=16 + at) for at in range(2)]
    text = formats.info(family, npus)
    second = next(line for line in text.splitlines() if "0000:11" in line)
    table = parse_info(text.replace(second + "\n", ""))
    assert len(table.rows) == 1
    assert table.cut == ("NPU 1",)


@pytest.mark.parametrize("width", [40, 60, 80, 100])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_wrapped_table_is_lost(family: Family, width: int) -> None:
    npus = [Npu(npu=at, bus=None if family == "A5_UB" else 16 + at, used_mib=41697) for at in range(3)]
    lines = formats.info(family, npus, extra=18).splitlines()
    wrapped = "\n".join(line[at : at + width] for line in lines for at in range(0, len(line), width)) + "\n"
    assert parse_info(wrapped).rows == tuple(expected(family, one) for one in npus)


@pytest.mark.parametrize("address", ["0000:xx:00.0", "0000:**:**.*", "XXXX:XX:XX.X"])
def test_a_masked_address_hides_a_device(address: str) -> None:
    (row,) = parse_info(formats.info("A2", [Npu()]).replace("0000:C1:00.0", address)).rows
    assert (row.npu, row.bdf, row.total_bytes) == (0, None, 65536 * MIB)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("before", ["", "> ", "    # ", "\t\t"])
def test_squeezed_blanks_or_marks_of_a_quotation_hide_a_device(family: Family, before: str) -> None:
    npus = [Npu(npu=at, bus=None if family == "A5_UB" else 16 + at) for at in range(2)]
    squeezed = [re.sub(r" +", " ", line) for line in formats.info(family, npus).splitlines()]
    text = "".join(f"{before}{line}\n" for line in squeezed)
    assert parse_info(text).rows == tuple(expected(family, one) for one in npus)


def test_a_broken_table_shows_a_device_without_a_name() -> None:
    text = "| Power(W)  Temp(C) | Health |\n| AICore(%) HBM(MB) | State |\n| 3.0 40 | OK |\n| 1 2 / 3 | x |\n"
    assert parse_info(text).rows == ()


def test_another_title_beside_the_name_moves_it() -> None:
    text = formats.info("310P", [Npu(npu=4, name="310P3")])
    table = parse_info(text.replace("NPU     Name      ", "Name (new)        "))
    assert (table.rows, table.cut) == ((), ("the device at 0000:c1:00.0",))


def test_no_name_is_a_name() -> None:
    (row,) = parse_info(formats.info("A2", [Npu(name="N/A")])).rows
    assert (row.npu, row.name) == (0, None)


def test_a_state_with_a_digit_hides_a_device() -> None:
    (row,) = parse_info(formats.info("A2", [Npu(health="0K")])).rows
    assert row.health == "0K"


def test_short_titles_lose_their_values() -> None:
    text = formats.info("A5", [Npu(name="Ascend950PR", busy_percent=99)])
    for title, short in (
        ("Hugepages-Usage(page)", "Huge"),
        ("Memory-Usage(MB)", "Mem"),
        ("HBM-Usage", "HBM"),
    ):
        text = text.replace(title, short)
    (row,) = parse_info(text).rows
    assert (row.power_w, row.temperature_c, row.busy_percent) == (90.4, 37, 99)
    assert (row.used_bytes, row.total_bytes) == (3416 * MIB, 65536 * MIB)


def test_a_second_row_alone_is_a_device() -> None:
    text = formats.info("A2", [Npu(npu=at, bus=16 + at) for at in range(3)])
    first = next(line for line in text.splitlines() if line.startswith("| 1 "))
    table = parse_info(text.replace(first + "\n", ""))
    assert [row.npu for row in table.rows] == [0, 2]
    assert table.cut == ("the device at 0000:11:00.0",)


def test_a_foreign_column_or_a_changed_order_moves_values() -> None:
    text = formats.info("A2", [Npu(used_mib=123)])
    turned = []
    for line in text.splitlines():
        parts = line.split("|")
        if len(parts) == 5:
            line = "|".join([parts[0], parts[3], " new ", parts[1], parts[2], parts[4]])
        turned.append(line)
    assert parse_info("\n".join(turned) + "\n").rows == (expected("A2", Npu(used_mib=123)),)


@pytest.mark.parametrize("cell", ["N/A", "-", "ERR!", "NA", "[Not Supported]", "٣٧", "1,2"])
def test_an_unknown_cell_is_a_number(cell: str) -> None:
    text = formats.info("A2", [Npu(temperature_c=37, power_w=90.4)])
    (row,) = parse_info(text.replace("37   ", f"{cell:<5}", 1)).rows
    assert row.temperature_c is None
    assert row.total_bytes == 65536 * MIB


@pytest.mark.parametrize("total", ["65 536", "65,536", "65.536", "NA", "-"])
def test_a_local_number_is_taken_apart(total: str) -> None:
    text = formats.info("A2", [Npu()])
    (row,) = parse_info(text.replace("65536", total)).rows
    assert row.total_bytes is None
    assert row.used_bytes is None


def test_no_memory_is_some_memory() -> None:
    (row,) = parse_info(formats.info("A2", [Npu(used_mib=0, total_mib=0)])).rows
    assert row.total_bytes is None


def test_a_process_is_taken_for_a_device() -> None:
    text = formats.info("A5", [Npu(name="Ascend950PR")])
    process = (
        "| 1                          | 111           | python                   | 37974                   |"
    )
    text = re.sub(r"\| No running processes.*\n", process + "\n", text)
    assert len(parse_info(text).rows) == 1


@pytest.mark.parametrize("huge", ["|" + " " * 300_000 + "|\n", "x" * 300_000 + "\n", "| 0 " * 60_000 + "\n"])
def test_a_huge_line_takes_long(huge: str) -> None:
    assert len(parse_info(formats.info("A2", [Npu()]) + huge).rows) == 1


@given(machines(), st.booleans(), st.integers(0, 3))
@settings(max_examples=25, deadline=None)
def test_what_a_mapping_shows_is_not_what_is_read(
    machine: tuple[Family, list[Npu]], mcu: bool, blanks: int
) -> None:
    family, npus = machine
    text = formats.mapping(family, npus, mcu=mcu)
    text = "noise: NPU ID of nobody\n" + text.replace("  ", "  " + " " * blanks)
    found = parse_mapping(text)
    assert [(one.npu, one.chip) for one in found] == [(one.npu, one.chip) for one in npus]
    told = family in ("A3", "A5", "A5_UB")
    assert [one.physical for one in found] == [one.physical if told else None for one in npus]
    assert [one.logic for one in found] == [None if family in ("A5", "A5_UB") else one.logic for one in npus]
    assert [one.name for one in found] == [one.name for one in npus]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_cut_mapping_shows_what_the_whole_one_does_not(family: Family) -> None:
    text = formats.mapping(family, [Npu(npu=at, logic=at + 8, physical=at + 8) for at in range(3)], mcu=True)
    whole = parse_mapping(text)
    for end in range(len(text)):
        found = parse_mapping(text[:end])
        assert found == whole[: len(found)], f"cut at {end}"


def test_single_blanks_or_a_permuted_mapping_are_misread() -> None:
    spaced = parse_mapping(
        "NPU ID Chip ID Chip Logic ID Chip Name\n8 0 0 Ascend 910B3\n8 1 - Mcu\n9 0 1 Ascend 910B3\n"
    )
    assert [(one.npu, one.chip, one.logic, one.name) for one in spaced] == [
        (8, 0, 0, "910B3"),
        (9, 0, 1, "910B3"),
    ]
    turned = parse_mapping("Chip Name    Chip Logic ID  New  NPU ID  Chip ID\nAscend 910B3   3   x   7   0\n")
    assert [attrs.astuple(one) for one in turned] == [(7, 0, 3, None, "910B3")]


OTHER_TABLES = {
    # Two chips of an Atlas 300I Duo, as release 25.0 prints them.
    "duo": """\
| NPU     Name                  | Health          | Power(W)     Temp(C)           Hugepages-Usage(page) |
| Chip    Device                | Bus-Id          | AICore(%)    Memory-Usage(MB)                        |
| 6       310P3                 | OK              | NA           55                0     / 0             |
| 0       0                     | 0000:83:00.0    | 0            1175 / 44280                            |
| 6       310P3                 | OK              | NA           52                3262  / 3262          |
| 1       1                     | 0000:83:00.0    | 0            8322 / 43693                            |
""",
    # A chip inside a processor, which is not on PCI.
    "soc": """\
| NPU     Name                  | Health          | Power(W)     Temp(C)           Hugepages-Usage(page) |
| Chip    Device                | Bus-Id          | AICore(%)    Memory-Usage(MB)                        |
| 0       310B1                 | OK              | 9.0          57                15    / 15            |
| 0       0                     | NA              | 0            7356 / 11577                            |
""",
    # Other titles, a name of two words, and no pages.
    "old": """\
| NPU     Name                  | Health          | Power(W)          Temp(C)               |
| Chip    Device-Chip-Id        | Bus-Id          | AICore(%)         HBM(MB)               |
| 0       Ascend 910B           | OK              | 110.0             45                    |
| 0       0-0                   | 0000:C1:00.0    | 0                 0 / 32768             |
""",
    # A heading with the load, and rows without.
    "idle": """\
| NPU   Name                | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|
| Chip                      | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |
| 0     910B3               | OK            | 93.1        48                0/0                  |
| 0                         | 0000:C1:00.0  |             0/0               3425/65536           |
""",
}
# NPU, chip, logic, bus, name, load, used MiB, total MiB
OTHER_ROWS = {
    "duo": [
        (6, 0, 0, "0000:83:00.0", "310P3", 0, 1175, 44280),
        (6, 1, 1, "0000:83:00.0", "310P3", 0, 8322, 43693),
    ],
    "soc": [(0, 0, 0, None, "310B1", 0, 7356, 11577)],
    "old": [(0, 0, None, "0000:c1:00.0", "Ascend 910B", 0, 0, 32768)],
    "idle": [(0, 0, None, "0000:c1:00.0", "910B3", None, 3425, 65536)],
}


@pytest.mark.parametrize("name", OTHER_TABLES)
def test_a_table_of_another_release_is_misread(name: str) -> None:
    rows = [
        (
            *(one.npu, one.chip, one.logic, one.bdf, one.name, one.busy_percent),
            *(None if size is None else size // MIB for size in (one.used_bytes, one.total_bytes)),
        )
        for one in parse_info(OTHER_TABLES[name]).rows
    ]
    assert rows == OTHER_ROWS[name]
