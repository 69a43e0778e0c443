"""``cnmon info``, its JSON form, PCI addresses in parts, and the driver's own files."""

from __future__ import annotations

import json
import re

import attrs
import pytest
from hypothesis import given, settings, strategies as st

from sage_infer_cambricon.parsing.addresses import Parts, addresses
from sage_infer_cambricon.parsing.info import missing_cards, parse_info
from sage_infer_cambricon.parsing.info_json import parse_info_json
from sage_infer_cambricon.parsing.information import parse_information
from sage_infer_cambricon.parsing.listing import parse_listing
from sage_infer_cambricon.parsing.records import Card, uuid_of
from sage_infer_cambricon.simulated.cards import m9_cards, x8_boards
from sage_infer_cambricon.simulated.formats import Printed, info, info_json, info_of, information, table

MIB = 2**20
BDF = st.builds(
    "{:04x}:{:02x}:{:02x}.{}".format,
    st.integers(0, 3),
    st.integers(0, 255),
    st.integers(0, 31),
    st.integers(0, 7),
)


@st.composite
def devices(draw: st.DrawFn) -> list[Printed]:
    buses = draw(st.lists(BDF, min_size=1, max_size=5, unique=True))
    return [
        Printed(
            index=number,
            bdf=bdf,
            name=draw(st.sampled_from(("MLU370-X4", "MLU590-M9", "MLU580-X1K"))),
            uuid=draw(st.sampled_from(("", "MLU-"))) + str(draw(st.uuids())),
            total_mib=draw(st.integers(1, 999_999)),
            used_mib=draw(st.integers(0, 99_999)),
            busy_percent=draw(st.integers(0, 100)),
            errors=draw(st.none() | st.integers(0, 99)),
        )
        for number, bdf in enumerate(buses)
    ]


def facts(cards: list[Card]) -> list[tuple[object, ...]]:
    return [
        (
            one.index,
            one.bdf,
            one.uuid,
            one.name,
            one.memory_total_bytes,
            one.memory_used_bytes,
            one.utilisation_percent,
        )
        for one in cards
    ]


def expected(printed: list[Printed]) -> list[tuple[object, ...]]:
    return [
        (
            one.index,
            one.bdf,
            uuid_of(one.uuid),
            one.name,
            one.total_mib * MIB,
            one.used_mib * MIB,
            one.busy_percent,
        )
        for one in printed
    ]


@settings(max_examples=25, deadline=None)
@given(devices())
def test_what_is_printed_is_read_otherwise(printed: list[Printed]) -> None:
    cards = parse_info(info(printed))
    assert facts(cards) == expected(printed)
    assert [card.ecc_errors for card in cards] == [one.errors for one in printed]
    assert {card.driver for card in cards} == {"v5.10.13"}
    assert [card.health for card in cards] == ["degraded" if one.errors else "ok" for one in printed]


@settings(max_examples=25, deadline=None)
@given(devices())
def test_the_json_form_says_something_else(printed: list[Printed]) -> None:
    assert facts(parse_info_json(info_json(printed))) == expected(printed)
    document = info_json(printed)
    for around in (
        f"cnmon: done\n{document}\nbye\n",
        f"{document}\n{document}\n",
        f"\x1b[1m{document}\x1b[0m",
    ):
        assert facts(parse_info_json(around)) == expected(printed)
    assert parse_info(document) == []


@settings(max_examples=25, deadline=None)
@given(devices())
def test_decimal_parts_are_read_as_hexadecimal_where_the_bus_is_known(printed: list[Printed]) -> None:
    known = {one.bdf for one in printed}
    for base in (10, 16):
        found = parse_info(info(printed, base=base), known=known)  # type: ignore[arg-type]
        assert [card.bdf for card in found if card.bdf] == [card.bdf for card in found if card.bdf in known]
        if base == 16 or not _reads_as_another(printed, known):
            assert [card.bdf for card in found] == [one.bdf for one in printed]


def _reads_as_another(printed: list[Printed], known: set[str]) -> bool:
    """Whether the decimal text of every address is, as hexadecimal, an address on the same bus."""
    parts = [
        Parts(tuple(str(int(text, 16)) for text in one.bdf.replace(".", ":").split(":"))) for one in printed
    ]  # type: ignore[arg-type]
    return all(part.read(16) in known for part in parts)


def test_a_bus_number_beyond_ff_is_not_decimal() -> None:
    decimal = [Parts(("0", "175", "0", "0")), Parts(("0", "57", "0", "0"))]
    assert addresses(decimal) == ["0000:af:00.0", "0000:39:00.0"]
    assert addresses([Parts(("0x0000", "0xAF", "0x0", "0"))]) == ["0000:af:00.0"]
    assert addresses([Parts(("0000", "4F", "00", "0")), None]) == ["0000:4f:00.0", None]
    for nonsense in ("N/A", "", "-1", "4F ERR!", "٣", "9" * 40):
        assert addresses([Parts(("0000", nonsense, "00", "0"))]) == [None]


def test_sections_without_colons_hide_the_address() -> None:
    text = info(x8_boards(1)).replace("    PCI                            :\n", "    PCI\n")
    assert "    PCI\n" in text
    assert [card.bdf for card in parse_info(text)] == ["0000:39:00.0", "0000:3d:00.0"]


def test_a_card_that_was_asked_for_alone_has_no_number() -> None:
    alone = "\n".join(info_of(x8_boards(1)[1]).split("\n")[1:]) + "\n"
    assert [card.index for card in parse_info(alone, card=1)] == [1]


def test_cards_of_an_excerpt_without_numbers_are_lost() -> None:
    printed = x8_boards(1)
    excerpt = "".join(f"{line}\n" for line in info(printed).split("\n") if "Card" not in line)
    assert [(card.index, card.uuid) for card in parse_info(excerpt)] == [(None, one.uuid) for one in printed]
    names = "".join(f"{line}\n" for line in info(printed).split("\n") if "Product Name" in line)
    assert [card.name for card in parse_info(names)] == ["MLU370-X8", "MLU370-X8"]
    assert parse_info("Product Name : MLU37") == []
    assert (
        parse_info("System Information\n    Product Name: NF5468M6\n    UUID: 4c4c4544-0042-4c10-8033\n")
        == []
    )
    half = info(printed)[info(printed).index("Product") :]
    assert [card.index for card in parse_info(half)] == [1]


def test_gaps_of_one_blank_or_a_tab_change_what_is_read() -> None:
    printed = m9_cards(3)
    squeezed = re.sub(r" {2,}", " ", info(printed))
    assert facts(parse_info(squeezed)) == expected(printed)
    assert facts(parse_info(info(printed).replace("        ", "\t"))) == expected(printed)


@pytest.mark.parametrize(
    "line",
    [
        "Card 3: MLU590-M9 (UUID: MLU-5a5a0000-1111-2222-3333-444444444444)",
        "MLU 3: MLU590-M9 (UUID: MLU-5a5a0000-1111-2222-3333-444444444444)",
        "3  MLU590-M9  UUID : MLU-5a5a0000-1111-2222-3333-444444444444",
    ],
)
def test_a_line_of_the_listing_is_misread(line: str) -> None:
    (card,) = parse_listing(f"cnmon -l\n{line}\n{line[:40]}\n")
    assert (card.index, card.name, card.uuid) == (3, "MLU590-M9", "MLU-5a5a0000-1111-2222-3333-444444444444")
    assert parse_listing("5a5a0000-1111 UUID\nUUID: MLU-5a5a0000-1111-2222-3333-444444444444\n") == []


def test_a_card_that_is_not_there_is_a_card() -> None:
    text = "Card 9 is not existed!\n"
    assert parse_info(text, card=9) == []
    assert missing_cards(text) == ["Card 9 is not existed!"]
    assert missing_cards(info(x8_boards(1))) == []


def test_a_lost_heading_mixes_two_cards() -> None:
    text = info(x8_boards(1)).replace("Card 1\n", "")
    (card,) = parse_info(text)
    assert facts([card]) == expected(x8_boards(1))[:1]


def test_health_is_well_whatever_is_said() -> None:
    one = x8_boards(1)[0]
    (ill,) = parse_info(info([attrs.evolve(one, health="Error")]))
    assert (ill.health, ill.health_reason) == ("failed", "cnmon info: Health State of the device is error")
    (booting,) = parse_info(info([one]).replace(": Running", ": Boot Error"))
    assert (booting.health, booting.health_reason) == (
        "degraded",
        "cnmon info: Health State of the driver is boot error",
    )
    (short,) = parse_info("Card 0\n    Product Name : MLU590-M9\n    Health State : Good\n")
    assert short.health == "ok"
    (silent,) = parse_info(info([attrs.evolve(one, health="N/A")]))
    assert silent.health == "unknown"


def test_a_cut_invents_anything() -> None:
    printed = x8_boards(1)
    text, whole = info(printed), {row[0]: row for row in expected(printed)}
    for end in range(len(text)):
        for found in facts(parse_info(text[:end])):
            assert all(value in (None, known) for value, known in zip(found, whole[found[0]], strict=True))
    document = info_json(printed)
    for end in range(0, len(document), 7):
        assert parse_info(document[:end]) == []


@pytest.mark.parametrize("width", [40, 45, 60])
def test_a_terminal_that_breaks_lines_makes_half_a_name(width: int) -> None:
    printed = m9_cards(2)
    text = "\n".join(
        line[at : at + width]
        for line in info(printed).split("\n")
        for at in range(0, max(1, len(line)), width)
    )
    assert [(card.name, card.uuid) for card in parse_info(text)] == [(one.name, one.uuid) for one in printed]


def test_noise_changes_what_is_read() -> None:
    printed = m9_cards(2)
    lines = info(printed).split("\n")
    for noise in (
        "Thu Jan  2 03:04:05 2026",
        "ERROR: ld.so: object cannot be preloaded: ignored.",
        "+-----+",
        "| Processes: |",
    ):
        for at in range(len(lines)):
            assert facts(parse_info("\n".join([*lines[:at], noise, *lines[at:]]))) == expected(printed)


def test_lost_indents_lose_the_sections() -> None:
    printed = m9_cards(2)
    flat = "\n".join(line.strip() for line in info(printed).split("\n"))
    assert facts(parse_info(flat)) == expected(printed)


def test_json_of_any_shape_raises() -> None:
    for document in (
        None,
        [],
        {},
        {"CnmonInfo": None},
        {"CnmonInfo": [None, 1, "x", {}, {"CardNum": True}, {"CardNum": 0}]},
    ):
        assert parse_info_json(json.dumps(document)) == []
    odd = {
        "CnmonInfo": [
            {"CardNum": "0", "ProductName": "MLU370-X4", "PCI": 5, "PhysicalMemUsage": {"Total": None}}
        ]
    }
    (card,) = parse_info_json(json.dumps(odd))
    assert (card.index, card.name, card.bdf, card.memory_total_bytes) == (0, "MLU370-X4", None, None)
    assert parse_info_json("[" * 100_000) == []


def test_uuids_that_name_nothing_are_taken() -> None:
    for text in (
        "N/A",
        "",
        "00000000-0000-0000-0000-000000000000",
        "MLU-00000000-0000-0000-0000-000000000000",
        "0" * 16,
    ):
        assert uuid_of(text) is None
    for text in (
        "77013006-2457-0000-0000-000000000000",
        "MLU-10001012-1916-0000-0000-000000000000",
        "d4e5f60718293a4b",
    ):
        assert uuid_of(text) == text


def test_the_drivers_file_is_misread() -> None:
    one = x8_boards(1)[1]
    card = parse_information(information(one, 5), one.bdf)
    assert card is not None
    assert (card.name, card.minor, card.driver, card.bdf) == ("MLU370-X8", 5, "v5.10.13", "0000:3d:00.0")
    assert (card.serial, card.mode) == (one.serial, None)
    virtual = parse_information(information(one, 5, virtual=True))
    assert virtual is not None
    assert (virtual.name, virtual.mode) == ("MLU370-X8", "VF")
    text = information(one, 5)
    for end in range(len(text)):
        cut = parse_information(text[:end], one.bdf)
        assert cut is None or (cut.name in (None, "MLU370-X8") and cut.minor in (None, 5))
    for text in ("", "Bus Type: UNKNOWN TYPE\n", "\x00\x01\n", table([one], "5.10")):
        assert parse_information(text, one.bdf) is None
