"""What the tools print of cards, in each of its forms: read back, and damaged."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings, strategies as st

from sage_infer_contracts.testing.damage import Damage
from sage_infer_hygon.parsing.json_text import parse_json
from sage_infer_hygon.parsing.lines import parse_lines
from sage_infer_hygon.parsing.rows import Listing
from sage_infer_hygon.parsing.table import parse_table
from sage_infer_hygon.readings import from_row
from sage_infer_hygon.simulated import formats
from sage_infer_hygon.simulated.cards import Card, bw_cards
from sage_infer_hygon.simulated.formats import Family

FAMILIES = {
    "new": formats.NEW,
    "no commas": formats.NEW_WITHOUT_COMMAS,
    "k100": formats.K100_ERA,
    "z100": formats.Z100_ERA,
    "rocm": formats.ROCM_ERA,
}
DRIVER = "6.3.31-V1.5.0a"
quick = settings(max_examples=40, deadline=None)


@st.composite
def some_cards(draw: st.DrawFn) -> list[Card]:
    count = draw(st.integers(1, 6))
    order = draw(st.permutations(range(count)))
    return [
        Card(
            index=at,
            bdf=f"{draw(st.integers(0, 1)):04x}:{0x20 + 7 * order[at]:02x}:00.0",
            device_id=draw(st.sampled_from(["6210", "6320", "54b7", "abcd"])),
            unique_id=f"{draw(st.integers(2**60, 2**64 - 1)) ^ at:016x}",
            series=draw(st.sampled_from(["BW", "K100_AI", "BW200, UBB BW1000", "Z100L"])),
            architecture="gfx936",
            compute_units=draw(st.integers(1, 200)),
            memory_mib=draw(st.integers(1, 300_000)),
            used_mib=draw(st.integers(0, 300_000)),
            use_percent=draw(st.integers(0, 1000)) / 10,
            power_cap=float(draw(st.integers(1, 2000))),
            numa_node=draw(st.integers(0, 7)),
            render=128 + at,
            agent=1 + at,
            temperature=draw(st.integers(0, 1200)) / 10,
            power=draw(st.integers(0, 20_000)) / 10,
        )
        for at in range(count)
    ]


def facts(listing: Listing) -> list[tuple[object, ...]]:
    found = []
    for row in listing.rows:
        device = from_row(row)
        figures = {name: figure.value for name, figure in device.figures if figure.source == "measured"}
        found.append(
            (
                row.index, device.ids.uuid, device.ids.bdf, device.name, device.memory_total_bytes,
                device.memory_used_bytes, device.utilisation_percent, figures.get("temperature"), figures.get("power"),
            )
        )  # fmt: skip
    return found


def told(card: Card) -> tuple[object, ...]:
    sizes = (card.memory_mib * 2**20, card.used_mib * 2**20)
    return (
        card.index,
        card.uuid,
        card.bdf,
        card.series,
        *sizes,
        card.use_percent,
        card.temperature,
        card.power,
    )


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
@quick
@given(cards=some_cards())
def test_json_does_not_come_back(family: Family, cards: list[Card]) -> None:
    listing = parse_json(formats.json_text(cards, family, DRIVER))
    assert facts(listing) == [told(card) for card in cards]
    assert listing.system == {"driver version": DRIVER}


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
@quick
@given(cards=some_cards(), order=st.randoms(use_true_random=False), blanks=st.integers(0, 9))
def test_a_table_depends_on_widths_order_or_noise(
    family: Family, cards: list[Card], order: random.Random, blanks: int
) -> None:
    text = formats.table_text(cards, family)
    whole = facts(parse_table(text))
    head, rows = text.splitlines()[:4], text.splitlines()[4 : 4 + len(cards)]
    order.shuffle(rows)
    noisy = Damage(
        widen=blanks, before=("0  hello", "[INFO] x", "\x1b[37mhygon\x1b[0m"), after=("1  2", "")
    ).text("\n".join([*head, *rows, "=" * 20, ""]))
    assert facts(parse_table(noisy.replace("\n", "\r\n"))) == whole
    assert [fact[0] for fact in whole] == [card.index for card in cards]
    assert [fact[7] for fact in whole] == [card.temperature for card in cards]


@pytest.mark.parametrize(
    "flags", [("--showid",), ("--showbus",), ("--showproductname",), ("--showmeminfo", "vram")]
)
@quick
@given(cards=some_cards(), family=st.sampled_from(list(FAMILIES.values())))
def test_lines_do_not_come_back(flags: tuple[str, ...], cards: list[Card], family: Family) -> None:
    listing = parse_lines(formats.lines_text(cards, family, flags, DRIVER))
    assert [row.label for row in listing.rows] == [family.label] * len(cards)
    every = [told(card) for card in cards]
    kept = {"--showid": (), "--showbus": (2,), "--showproductname": (3,), "--showmeminfo": (4, 5)}[flags[0]]
    assert [tuple(fact[at] for at in (0, *kept)) for fact in facts(listing)] == [
        tuple(fact[at] for at in (0, *kept)) for fact in every
    ]


def texts() -> dict[str, str]:
    cards = bw_cards(3)
    return {
        "json": formats.json_text(cards, formats.NEW, DRIVER),
        "no commas": formats.json_text(cards, formats.NEW_WITHOUT_COMMAS, DRIVER),
        "table": formats.table_text(cards, formats.NEW),
        "hardware": formats.hardware_text(cards, formats.Z100_ERA),
        "lines": formats.lines_text(cards, formats.NEW, ("--showbus",), DRIVER),
    }


@pytest.mark.parametrize("name", texts())
def test_a_cut_anywhere_invents_something(name: str) -> None:
    text = texts()[name]
    parse = {"json": parse_json, "no commas": parse_json, "lines": parse_lines}.get(name, parse_table)
    whole = {row.index: row.values for row in parse(text).rows}
    assert len(whole) == 3
    # From the second start on, what is left of the text is one row: then half a line is all there is.
    for start in (0, text.find("\n", 200) + 1):
        for row in (row for at in range(start, len(text)) for row in parse(text[start:at]).rows):
            extra = dict(row.values).items() - dict(whole[row.index]).items()
            assert not extra, extra


def test_pretty_json_in_noise_is_not_read() -> None:
    text = 'WARNING: x {y}\n{\n  "card1": {\n    "DCU use (%)": 7,\n    "vram Total Memory (B)": 1024\n  }\n}\nbye\n'
    (row,) = parse_json(text).rows
    device = from_row(row)
    assert (row.index, device.utilisation_percent, device.memory_total_bytes) == (1, 7.0, 1024)


@pytest.mark.parametrize("word", ["N/A", "-", "ERR!", "[Not Supported]", "", "nan", "1e9", "-1", "None"])
def test_a_word_for_unknown_becomes_a_number(word: str) -> None:
    cells = dict.fromkeys(
        ("temp", "avgpwr", "pwrcap", "vram%", "hcu%", "vram total memory (mib)", "unique id"), word
    )
    (row,) = parse_json(
        '{"card0": {' + ", ".join(f'"{key}": "{value}"' for key, value in cells.items()) + ', "x": "y"}}'
    ).rows
    device = from_row(row)
    assert (device.memory_total_bytes, device.utilisation_percent, device.ids.uuid) == (None, None, None)
    assert device.figures == ()


def test_titles_in_another_order_and_more_of_them_shift_values() -> None:
    text = (
        "Mode    Clock Now    HCU    Temp      AvgPwr    HCU%     New%\n"
        "Normal  1500Mhz      12     43.0C     131.0W    7.5%     -\n"
        "Normal  1500Mhz      13     ERR!      131       N/A      -\n"
        "Normal  1500Mhz      14     43.0C\n"
    )
    listing = parse_table(text)
    assert [(fact[0], fact[6], fact[7], fact[8]) for fact in facts(listing)] == [
        (12, 7.5, 43.0, 131.0),
        (13, None, None, None),
    ]
