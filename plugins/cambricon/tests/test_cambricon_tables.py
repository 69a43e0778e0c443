"""cnmon's table: what is printed is read back, whatever the widths, the order and the lines around it."""

from __future__ import annotations

import re

import attrs
import pytest
from hypothesis import given, settings, strategies as st

from sage_infer_cambricon.parsing.records import Card
from sage_infer_cambricon.parsing.table import parse_table, parse_tool_version
from sage_infer_cambricon.simulated.cards import m9_cards, x4_cards, x8_boards
from sage_infer_cambricon.simulated.formats import Family, Printed, info, table

FAMILIES: tuple[Family, ...] = ("4.20", "5.10 SR-IOV", "5.10", "6.x")
MIB = 2**20
NAMES = (
    "MLU370-X4",
    "MLU370-X8",
    "MLU370-S4",
    "MLU590-M9",
    "MLU590-M9DG",
    "MLU580-X1K",
    "MLUXXX-XX",
    "CE3226",
)


@st.composite
def devices(draw: st.DrawFn) -> list[Printed]:
    indices = draw(st.lists(st.integers(0, 31), min_size=1, max_size=6, unique=True))
    driver = draw(st.sampled_from(("v4.20.11", "v5.10.31", "v6.2.29", "v6.5.48")))
    return [
        Printed(
            index=index,
            bdf=f"{draw(st.sampled_from(['0000', '0001']))}:{index + 0x20:02x}:00.{draw(st.integers(0, 7))}",
            name=draw(st.sampled_from(NAMES)),
            driver=driver,
            total_mib=draw(st.integers(1, 999_999)),
            used_mib=draw(st.integers(0, 99_999)),
            busy_percent=draw(st.integers(0, 100)),
            errors=draw(st.none() | st.integers(0, 9)),
            mode=draw(st.sampled_from(("FULL", "MIM", "SMLU"))),
        )
        for index in indices
    ]


def facts(cards: list[Card]) -> dict[int | None, tuple[object, ...]]:
    return {
        card.index: (
            card.name,
            card.bdf,
            card.driver,
            card.memory_total_bytes,
            card.memory_used_bytes,
            card.utilisation_percent,
            card.ecc_errors,
        )
        for card in cards
    }


def expected(printed: list[Printed], family: Family) -> dict[int | None, tuple[object, ...]]:
    return {
        one.index: (
            one.name,
            None if family == "4.20" else one.bdf,
            one.driver,
            one.total_mib * MIB,
            one.used_mib * MIB,
            one.busy_percent,
            one.errors,
        )
        for one in printed
    }


@settings(max_examples=25, deadline=None)
@given(devices(), st.sampled_from(FAMILIES))
def test_what_is_printed_is_read_otherwise(printed: list[Printed], family: Family) -> None:
    assert facts(parse_table(table(printed, family))) == expected(printed, family)


@settings(max_examples=25, deadline=None)
@given(devices(), st.sampled_from(FAMILIES), st.randoms())
def test_the_order_of_rows_matters(printed: list[Printed], family: Family, random: object) -> None:
    shuffled = list(printed)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert facts(parse_table(table(shuffled, family))) == facts(parse_table(table(printed, family)))


@settings(max_examples=25, deadline=None)
@given(devices(), st.sampled_from(FAMILIES), st.permutations([0, 1, 2]), st.integers(0, 30))
def test_the_order_or_width_of_columns_matters(
    printed: list[Printed], family: Family, order: list[int], wider: int
) -> None:
    lines = []
    for line in table(printed, family).split("\n"):
        cells = re.split(r"[|+]", line)[1:-1]
        if len(cells) == 3:
            edge = line[0]
            line = edge + edge.join(cells[at] + " " * wider for at in order) + edge
        lines.append(line)
    assert facts(parse_table("\n".join(lines))) == expected(printed, family)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "noise",
    [
        "Thu Dec 19 22:05:42 2024",
        "[INFO supervisor::limiter] won manager election, polling every 250 ms",
        "ERROR: ld.so: object 'libshim.so' from LD_PRELOAD cannot be preloaded: ignored.",
        "| Processes:                                                       |",
        "警告: 未找到配置文件",
        "",
    ],
)
def test_a_line_of_noise_changes_what_is_read(family: Family, noise: str) -> None:
    printed = x8_boards(2)
    lines = table(printed, family).split("\n")
    for at in range(len(lines)):
        assert facts(parse_table("\n".join([*lines[:at], noise, *lines[at:]]))) == expected(
            printed, family
        ), at


@pytest.mark.parametrize("family", FAMILIES)
def test_terminals_and_pipes_change_what_is_read(family: Family) -> None:
    printed = m9_cards(3)
    text = table(printed, family)
    for changed in (
        text.replace("\n", "\r\n"),
        "\ufeff" + text,
        "".join(f"\x1b[1;32m{line}\x1b[0m\n" for line in text.split("\n")),
        "".join(f"    {line}   \n" for line in text.split("\n")),
        text.replace("|\n", "|\ufffd\ufffd\n"),
        text + text,
    ):
        assert facts(parse_table(changed)) == expected(printed, family)


@pytest.mark.parametrize("width", [41, 50, 60, 79])
def test_a_terminal_that_breaks_lines_costs_a_device(width: int) -> None:
    printed = x8_boards(1)
    lines = table(printed, "5.10").split("\n")
    broken = "\n".join(line[at : at + width] for line in lines for at in range(0, max(1, len(line)), width))
    assert facts(parse_table(broken)) == expected(printed, "5.10")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_cut_invents_a_device(family: Family) -> None:
    printed = x8_boards(1)
    text, whole = table(printed, family), expected(printed, family)
    for end in range(len(text)):
        for index, found in facts(parse_table(text[:end])).items():
            assert all(value in (None, known) for value, known in zip(found, whole[index], strict=True))


def test_processes_are_devices() -> None:
    running = "|  0     /   12345  python serve.py                                 15829 MiB |"
    text = table(x8_boards(1), "5.10").replace(
        "|  No running processes found                                                  |", running
    )
    assert running in text
    assert [card.index for card in parse_table(text)] == [0, 1]


def test_cells_that_say_nothing_are_nought() -> None:
    text = table([attrs.evolve(x8_boards(1)[0], total_mib=777777)], "5.10")
    for cell in ("N/A", "-", "ERR!", "xxxxx", "[Not Supported]", "777,777", "777.777", "0"):
        (card,) = parse_table(text.replace("777777", cell))
        assert card.memory_total_bytes is None, cell


def test_the_memory_of_virtual_addresses_is_the_cards() -> None:
    (card,) = parse_table(table(x4_cards(1), "4.20"))
    assert card.memory_total_bytes == 23308 * MIB


def test_titles_in_other_words_cost_the_whole_row() -> None:
    text = table(x8_boards(1), "5.10").replace("Bus-Id", "Bus Id").replace("Memory-Usage", "Memory Usage")
    assert facts(parse_table(text)) == expected(x8_boards(1), "5.10")
    renamed = parse_table(table(x8_boards(1), "5.10").replace("Bus-Id", "总线  "))
    assert [card.bdf for card in renamed] == ["0000:39:00.0", "0000:3d:00.0"]


def test_a_blank_cell_costs_the_device() -> None:
    text = table(x8_boards(1), "5.10").replace(" /   MLU370-X8", "     MLU370-X8")
    assert facts(parse_table(text)) == expected(x8_boards(1), "5.10")


def test_an_instance_is_taken_for_its_card() -> None:
    card = x8_boards(1)[0]
    text = table([card, attrs.evolve(card, instance="1", total_mib=5843)], "5.10")
    whole, part = parse_table(text)
    assert (whole.instance, part.instance) == (None, 1)
    assert (whole.index, part.index) == (0, 0)
    assert part.memory_total_bytes == 5843 * MIB


def test_sr_iov_is_a_mode_of_its_own() -> None:
    text = table(x8_boards(1)[:1], "5.10 SR-IOV")
    assert [card.mode for card in parse_table(text)] == [None]
    assert [
        card.mode for card in parse_table(text.replace("| N/A           Default", "| On            Default"))
    ] == ["SR-IOV"]


def test_a_card_that_is_not_started_is_well() -> None:
    text = table(x4_cards(1), "4.20").replace("| On ", "| Off")
    (card,) = parse_table(text)
    assert card.health == "failed"
    assert "Inited Off" in (card.health_reason or "")


def test_the_tool_of_a_container_is_taken_for_the_driver() -> None:
    text = table(m9_cards(1), "6.x", version="v6.5.48")
    (card,) = parse_table(text)
    assert (parse_tool_version(text), card.driver) == ("v6.5.48", "v6.2.29")


def test_other_output_shows_devices() -> None:
    for text in (
        "",
        "\n",
        "{}",
        "Usage: cnmon [options]\n",
        "|||||||\n+++++\n",
        info(x8_boards(1)),
        "| 0 / MLU370-X8 v1 |\n",
    ):
        assert parse_table(text) == []


def test_very_long_output_takes_long() -> None:
    text = table(x8_boards(8), "5.10")
    for swollen in (
        "x" * 2**20,
        " " * 2**20 + "|",
        "|" * 2**20,
        "| " * 2**19,
        ("| Card Name Fan |\n") * 2**14,
    ):
        parse_table(swollen + "\n" + text)


@pytest.mark.parametrize("family", FAMILIES)
def test_titles_in_another_language_hide_the_devices(family: Family) -> None:
    printed = m9_cards(3)
    text = table(printed, family)
    for word, other in (
        ("Card", "\u677f\u5361"),
        ("Name", "\u540d\u79f0"),
        ("Memory-Usage", "\u5185\u5b58"),
        ("Bus-Id", "\u603b\u7ebf"),
    ):
        text = text.replace(word, other)
    told = [
        (one.index, one.name, one.bdf, one.memory_total_bytes, one.memory_used_bytes)
        for one in parse_table(text)
    ]
    assert told == [
        (
            one.index,
            one.name,
            None if family == "4.20" else one.bdf,
            one.total_mib * 2**20,
            one.used_mib * 2**20,
        )
        for one in printed
    ]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "command",
    [
        "0     /   MLU590-M9    v1.5.0",
        "0 / MLU590-M9 v1.5.0 | 0000:4F:00.0 | 0% 0",
        "sh -c cnmon | grep MLU | wc -l",
    ],
)
def test_a_process_is_a_device(family: Family, command: str) -> None:
    printed = m9_cards(2)
    row = f"|{f'  0     /   101934  {command}'.ljust(62)} 15829 MiB |"
    other = f"|{command.ljust(78)}|"
    text = table(printed, family).replace(
        "|  No running processes found", f"{row}\n{other}\n|  No running processes found"
    )
    assert row in text
    assert facts(parse_table(text)) == expected(printed, family)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_lost_line_changes_another_device(family: Family) -> None:
    printed = m9_cards(3)
    lines = table(printed, family).split("\n")
    for at in range(len(lines)):
        for card in parse_table("\n".join([*lines[:at], *lines[at + 1 :]])):
            assert card.index in (0, 1, 2)
            assert card.name == "MLU590-M9"
            assert card.memory_total_bytes in (None, 98304 * 2**20)


def test_an_empty_first_cell_raises() -> None:
    text = table(m9_cards(2), "6.x").replace(
        "| 1     /   MLU590-M9    v1.5.0 |", "|                               |"
    )
    assert [card.index for card in parse_table(text)] == [0]
