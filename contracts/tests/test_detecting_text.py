"""Readers of tools' text: markup goes, cut lines go, and what is no figure is None (HD-04, HD-06)."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, strategies as st

from sage_infer_contracts.detecting.text import decimal, lines, pci_address, percent, size_bytes, whole

MARKUP = (
    "\x1b[0m",
    "\x1b[1;31m",
    "\x1b[38:5:196m",
    "\x1b[?25l",
    "\x1b(B",
    "\x1b]0;a title\x07",
    "\x1b]0;t\x1b\\",
    "\x1b7",
    "\x1bM",
    "\x1bc",
)
PLAIN = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_characters="\x7f\x85\xa0"))
READERS = (whole, decimal, percent, size_bytes, pci_address)


@given(st.lists(PLAIN.map(str.rstrip), min_size=1), st.sampled_from(("\n", "\r\n", "\r")))
def test_a_line_is_lost_or_changed(wanted: list[str], end: str) -> None:
    assert lines("".join(line + end for line in wanted)) == wanted


@given(PLAIN, st.sampled_from(MARKUP), st.data())
def test_markup_changes_what_is_read(text: str, markup: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(text)))
    assert lines(f"{text[:at]}{markup}{text[at:]}\n") == lines(text + "\n")


def test_a_title_without_an_end_swallows_the_table() -> None:
    assert lines("\x1b]0;no end\nrow 1\nrow 2\n") == ["", "row 1", "row 2"]


@given(st.lists(PLAIN.filter(bool), min_size=2), st.data())
def test_half_a_line_is_read(wanted: list[str], data: st.DataObject) -> None:
    text = "".join(f"{line}\n" for line in wanted)
    cut = data.draw(st.integers(len(wanted[0]) + 1, len(text)))
    assert lines(text[:cut]) == [line.rstrip() for line in wanted[: text[:cut].count("\n")]]


def test_a_file_without_a_line_break_is_lost() -> None:
    assert lines("1.2.3") == ["1.2.3"]
    assert lines("") == [""]


@given(
    st.one_of(st.none(), st.text(), st.from_regex(re.compile(r"[-+]?[0-9.,]+\s*[a-zA-Z/%]*"), fullmatch=True))
)
def test_a_reader_raises_or_returns_nonsense(cell: str | None) -> None:
    for reader in READERS:
        assert reader(cell) is None or not isinstance(reader(cell), bool)
    assert (percent(cell) or 0) <= 100
    assert (size_bytes(cell, unit="MiB") or 0) >= 0


@pytest.mark.parametrize(
    "cell", ["", "-", "N/A", "[N/A]", "ERR!", "[Not Supported]", "nan", "inf", "-1", "1e5", "٣", "iB"]
)
def test_an_unknown_cell_becomes_a_number(cell: str) -> None:
    assert [reader(cell) for reader in READERS] == [None] * len(READERS)


@given(
    st.integers(0, 10**15 - 1),
    st.sampled_from(("", "K", "M", "G", "T")),
    st.sampled_from(("iB", "B", "")),
    st.booleans(),
)
def test_a_size_is_misread(number: int, prefix: str, rest: str, spaced: bool) -> None:
    factor = 1024 ** " KMGT".index(prefix or " ")
    text = f"{number}{' ' if spaced else ''}{prefix}{rest if prefix else 'B'}"
    assert size_bytes(f" {text} ") == number * factor or number * factor > 2**53
    assert size_bytes(str(number), unit="MiB") == size_bytes(f"{number} MiB")


def test_a_bare_number_is_taken_for_bytes() -> None:
    assert size_bytes("65536") is None
    assert size_bytes("65536", unit="MB") == 65536 * 2**20
    assert size_bytes("65536 MiB", unit="GiB") == 65536 * 2**20


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFF), st.integers(0, 0x1F), st.integers(0, 7), st.booleans())
def test_a_pci_address_is_misread(domain: int, bus: int, slot: int, function: int, upper: bool) -> None:
    tail = f"{bus:02x}:{slot:02x}.{function}"
    wanted = f"{domain:04x}:{tail}"
    for text in (wanted, f"0000{wanted}", *([tail] if domain == 0 else [])):
        assert pci_address(text.upper() if upper else text) == wanted


@pytest.mark.parametrize(
    "text", ["10000:00:02.0", "00010000:00:02.0", "0000:0a:00.8", "0000:0a:00", "0a:00.0 (rev 1)"]
)
def test_half_an_address_is_completed(text: str) -> None:
    assert pci_address(text) is None


def test_figures_of_more_digits_than_any_device_has_are_read() -> None:
    assert whole("9" * 19) is None
    assert decimal("9" * 16) is None
    assert (percent("100"), percent("100.1"), percent("12 %"), decimal("93.5 W", "W")) == (
        100.0,
        None,
        12.0,
        93.5,
    )


@pytest.mark.parametrize(
    "text", ["\x1b[" + "0;" * 200_000, "\x1b]" * 200_000, "\x1b" * 200_000, " " * 400_000 + "x\n"]
)
def test_a_hostile_output_takes_quadratic_time(text: str) -> None:
    before = time.process_time()
    lines(text)
    size_bytes(text)
    assert time.process_time() - before < 2.0


@pytest.mark.parametrize(
    "prefix",
    [
        "Nov  3 16:25:45 node1 collector[123]: ",
        "2026-11-23 10:00:00,123 ",
        "2026-11-23T10:00:00.123456Z ",
        "2026-11-23T10:00:00.123456789Z stdout F ",
        "26/11/23 10:00:00 INFO Executor: ",
        "[2026-11-23 10:00:00,123] INFO [main] com.example.Hw - ",
        "[10:00:00] ",
        "2026-11-23 10:00:00 ",
        "node01: ",
        "worker-1  | ",
        "[pod/detect-0/main] ",
        "> ",
    ],
)
def test_what_a_logger_puts_before_each_line_is_read(prefix: str) -> None:
    table = ["+-----+-----+", "| Id  | Name |", "", "    Indented : 1", "| 0   | x    |"]
    text = "".join(f"{prefix}{line}\n" if line else f"{prefix.rstrip()}\n" for line in table)
    assert lines(text) == table
    assert lines(f"{prefix.rstrip()}\n{text}") == ["", *table]
    assert lines(f"a shell's warning\n{text}" if prefix[0] in "2[N" and ":" in prefix else text)[-5:] == table


@pytest.mark.parametrize(
    "text",
    [
        "2024/05/01 10:00:00.123, GPU 0\n2024/05/01 10:00:00.123, GPU 1\n2024/05/01 10:00:00.123, GPU 2\n",
        "GPU 0: A\nGPU 1: A\nGPU 2: A\n",
        "Product Name : A\nProduct Name : A\nProduct Name : A\n",
        "MLU0  X   MLK\nMLU1  MLK X\nMLU2  MLK MLK\n",
        "[    1.5] a: x\n[    1.6] a: x\n[    1.7] a: x\n",
        "node01: a\nnode01: b\n",
    ],
)
def test_a_column_is_taken_for_a_logger(text: str) -> None:
    assert lines(text) == text.splitlines()
