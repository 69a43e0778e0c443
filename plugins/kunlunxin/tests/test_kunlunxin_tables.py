"""Each format of Kunlunxin's tools: written, read again, and damaged."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import pytest
from hypothesis import given, settings, strategies as st
from kunlunxin_texts import NOISE, expected, facts, p800_cards, with_noise

from sage_infer_contracts.devices import Figure
from sage_infer_kunlunxin.asking import read
from sage_infer_kunlunxin.parsing.devices_table import parse_devices_table
from sage_infer_kunlunxin.parsing.listing import parse_listing
from sage_infer_kunlunxin.parsing.machine_readable import parse_machine_readable
from sage_infer_kunlunxin.parsing.query_text import parse_query
from sage_infer_kunlunxin.parsing.query_xml import parse_query_xml
from sage_infer_kunlunxin.parsing.records import Reading
from sage_infer_kunlunxin.parsing.table import parse_table
from sage_infer_kunlunxin.simulated import formats, formats_tables
from sage_infer_kunlunxin.simulated.cards import Card, k200, p800


@attrs.frozen
class Family:
    """A format, and which identities it has."""

    write: Callable[[Sequence[Card]], str]
    parse: Callable[[str], Reading]
    ids: tuple[str, ...]
    used: bool = True


FAMILIES = {
    "query": Family(formats.query, parse_query, ("index", "minor", "uuid", "bdf")),
    "xml": Family(formats.query_xml, parse_query_xml, ("index", "minor", "uuid", "bdf")),
    "machine": Family(formats.machine_readable, parse_machine_readable, ("index", "physical", "bdf")),
    "table": Family(formats_tables.table, parse_table, ("index", "bdf")),
    "devices": Family(formats_tables.devices_table, parse_devices_table, ("index", "minor", "bdf")),
    "list": Family(formats.listing, parse_listing, ("index", "uuid"), used=False),
}
families = pytest.mark.parametrize("family", FAMILIES.values(), ids=list(FAMILIES))


def said(family: Family, card: Card) -> tuple[object, ...]:
    return expected(card, *family.ids, used=family.used)


@families
@given(cards=p800_cards())
@settings(max_examples=25, deadline=None)
def test_what_is_written_is_read_otherwise(family: Family, cards: list[Card]) -> None:
    text = family.write(cards)
    assert facts(family.parse(text)) == [said(family, card) for card in cards]
    assert facts(read(text)) == facts(family.parse(text)), "another format's reader was quicker"


@families
@given(cards=p800_cards(4), line=st.integers(0, 300), noise=st.sampled_from(NOISE))
@settings(max_examples=40, deadline=None)
def test_a_line_of_noise_changes_what_is_read(
    family: Family, cards: list[Card], line: int, noise: str
) -> None:
    if family.parse is parse_query_xml and "\x1b" not in noise:
        noise = f"<!-- {noise.replace('-', ' ')} -->"  # nothing else may stand between XML's elements
    text = with_noise(family.write(cards), line, noise)
    assert facts(family.parse(text)) == [said(family, card) for card in cards]


@families
def test_a_cut_output_invents_a_device(family: Family) -> None:
    cards = p800(2)
    text, whole = family.write(cards), [said(family, card) for card in cards]
    bdfs, uuids = {card.bdf for card in cards}, {card.uuid for card in cards}
    for at in range(len(text)):
        devices = family.parse(text[:at]).devices
        assert len(devices) <= len(whole)
        for one, (_, name, total, used, busy) in zip(devices, whole, strict=False):
            assert one.ids.bdf is None or one.ids.bdf in bdfs
            assert one.ids.uuid is None or one.ids.uuid in uuids
            assert one.name in (None, name)
            assert one.memory_total_bytes in (None, total)
            assert one.memory_used_bytes in (None, used)
            assert one.utilisation_percent in (None, busy)


@families
def test_output_that_comes_twice_doubles_the_devices(family: Family) -> None:
    cards = p800(4)
    text = family.write(cards)
    assert facts(family.parse(text + text)) == [said(family, card) for card in cards]


@families
def test_another_terminal_changes_what_is_read(family: Family) -> None:
    cards = p800(2)
    text, whole = family.write(cards), [said(family, card) for card in cards]
    coloured = "\n".join(f"\x1b[1;32m{line}\x1b[0m" if line else line for line in text.split("\n"))
    for dressed in (coloured, text.replace("\n", "\r\n"), "\ufeff" + text, text.replace("\n", "\n\n")):
        assert facts(family.parse(dressed)) == whole


@given(cards=p800_cards(4), extra=st.tuples(*[st.integers(0, 40)] * 3))
@settings(max_examples=25, deadline=None)
def test_a_wider_column_moves_a_value(cards: list[Card], extra: tuple[int, int, int]) -> None:
    widths = [base + more for base, more in zip((31, 22, 22), extra, strict=True)]
    assert facts(parse_table(formats_tables.table(cards, widths=widths))) == facts(
        parse_table(formats_tables.table(cards))
    )
    label = formats.query(cards, label=42 + extra[0])
    assert facts(parse_query(label)) == facts(parse_query(formats.query(cards)))


@families
@given(cards=p800_cards(5), order=st.randoms(use_true_random=False))
@settings(max_examples=15, deadline=None)
def test_the_order_of_rows_decides_what_they_say(family: Family, cards: list[Card], order: object) -> None:
    mixed = list(cards)
    order.shuffle(mixed)  # type: ignore[attr-defined]
    ids = tuple(name for name in family.ids if name != "index" or family.parse is parse_listing)

    def without_index(reading: Reading) -> list[object]:
        return sorted(
            (
                (str(one.ids.bdf), str(one.ids.uuid), one.ids.minor, one.name, one.memory_used_bytes)
                for one in reading.devices
            ),
        )

    assert ids
    assert without_index(family.parse(family.write(mixed))) == without_index(
        family.parse(family.write(cards))
    )


@pytest.mark.parametrize("spelling", ["plain", "brackets", "addresses"])
def test_a_spelling_of_the_list_is_not_known(spelling: str) -> None:
    cards = p800(3)
    devices = parse_listing(formats.listing(cards, spelling=spelling)).devices
    assert [one.ids.index for one in devices] == [0, 1, 2]
    named = spelling != "addresses"
    assert [one.ids.uuid for one in devices] == [card.uuid if named else None for card in cards]
    assert [one.ids.bdf for one in devices] == [None if named else card.bdf for card in cards]
    assert {one.name for one in devices} == {"P800 OAM" if named else None}


@pytest.mark.parametrize("write", [formats_tables.devices_table, formats.machine_readable])
def test_two_devices_of_a_card_are_one(write: Callable[[Sequence[Card]], str]) -> None:
    devices = read(write(k200())).devices
    assert [(one.ids.index, one.ids.bdf, one.key) for one in devices] == [
        (0, "0000:06:00.0", "0"),
        (1, "0000:06:00.0", "1"),
        (2, "0001:03:00.0", "2"),
        (3, "0001:03:00.0", "3"),
    ]
    assert {one.ids.physical for one in devices} == {None}, "a board is none of its devices"
    assert [one.memory_used_bytes for one in devices] == [mib * 2**20 for mib in (504, 521, 538, 555)]


def test_a_cell_that_says_nothing_is_nought() -> None:
    text = (
        formats_tables.table(p800(1))
        .replace("  3425MiB / 98304MiB", "     N/A /      N/A")
        .replace("37%", "N/A")
    )
    (device,) = parse_table(text.replace("   0 |", "ERR! |")).devices
    assert (device.memory_total_bytes, device.memory_used_bytes, device.utilisation_percent) == (
        None,
        None,
        None,
    )
    assert device.health == "unknown"
    query = formats.query(p800(1)).replace("98304 MiB", "N/A").replace("37 %", "Invalid Argument")
    (device,) = parse_query(query.replace(": 3425 MiB", ": [Not Supported]")).devices
    assert (device.memory_total_bytes, device.memory_used_bytes, device.utilisation_percent) == (
        None,
        None,
        None,
    )


def test_a_uuid_that_two_cards_share_is_kept() -> None:
    cards = p800(2)
    text = formats.query(cards).replace(cards[1].uuid, cards[0].uuid)
    assert [one.ids.uuid for one in parse_query(text).devices] == [None, None]
    zeros = formats.query(cards[:1]).replace(cards[0].uuid, "GPU-00000000-0000-0000-0000-000000000000")
    assert parse_query(zeros).devices[0].ids.uuid is None


def test_an_unfinished_list_numbers_its_blocks() -> None:
    text = formats.query(p800(3))
    one = text.replace(
        "Attached XPUs                             : 3", "Attached XPUs                             : 8"
    )
    assert one != text
    assert [device.ids.index for device in parse_query(one).devices] == [None, None, None]


def test_uncorrectable_errors_are_passed_over() -> None:
    card = attrs.evolve(p800(1)[0], ecc_errors=3)
    for text in (formats.query([card]), formats.query_xml([card]), formats_tables.table([card])):
        (device,) = read(text).devices
        assert device.health == "degraded"
        assert device.health_reason == "3 uncorrectable ECC errors since the driver was loaded"


def test_a_field_of_another_release_is_read_as_memory() -> None:
    line = formats.machine_readable(p800(1))
    fields = line.split(" ")
    for at in (5, 10):
        assert not parse_machine_readable(" ".join([*fields[:at], "1", *fields[at:]])).devices
    assert parse_machine_readable(line.rstrip("\n") + " 7 8\n").devices, (
        "fields behind the known ones harm nobody"
    )


def test_a_line_that_is_missing_leaves_the_next_one_in_its_place() -> None:
    text = formats_tables.table(p800(2))
    rows = text.split("\n")
    (memory, *_) = [number for number, row in enumerate(rows) if "98304MiB" in row]
    for damaged in (
        [*rows[:memory], *rows[memory + 1 :]],
        [*rows[:memory], rows[memory][:40], *rows[memory + 1 :]],
        [*rows[:memory], rows[memory][:40], rows[memory][40:], *rows[memory + 1 :]],
        [row for row in rows if "Memory-Usage" not in row],
    ):
        for one in parse_table("\n".join(damaged)).devices:
            assert one.memory_total_bytes in (None, 98304 * 2**20), "L3 memory is none of the card's"
            assert dict(one.figures).get("l3_memory", Figure(value=96, unit="MiB", source="?")).value == 96
    broken = "\n".join([*rows[:memory], *rows[memory + 1 :]])
    assert [one.memory_total_bytes for one in parse_table(broken).devices] == [None, 98304 * 2**20]


def test_a_word_too_many_makes_a_model() -> None:
    line = formats.machine_readable(k200(1)[:1]).replace('"K200"', "K200")
    assert parse_machine_readable(line).devices[0].name == "K200"
    for before, after in (("1.0:2.6:1.39.1.7", "Unknown Error.6:1.39.1.7"), (" 37 ", " Unknown Error ")):
        reading = parse_machine_readable(line.replace(before, after))
        assert (reading.devices, len(reading.torn)) == ((), 1)
    quoted = formats.machine_readable(p800(1)).replace("1.0:2.6:1.39.1.7", "N/A")
    assert parse_machine_readable(quoted).devices[0].name == "P800 OAM", "a part has no firmware of its own"


def test_half_a_number_is_one() -> None:
    cut = formats.query(p800(1)).replace(": 37 %", ": 3")
    assert parse_query(cut).devices[0].utilisation_percent is None
    wrapped = formats.query_xml(p800(1)).replace("P800 OAM", "P800\nOAM")
    assert parse_query_xml(wrapped).devices[0].name == "P800 OAM"


def test_intels_table_of_gpus_is_read() -> None:
    text = formats_tables.intels_table("0000:29:00.0")
    assert read(text).devices == read(text.replace("Intel XPU-SMI", "XPU-SMI")).devices == ()


def test_columns_that_change_places_mix_values_up() -> None:
    table = formats_tables.table(p800(2)).split("\n")
    swapped = [
        "|".join(["", cells[2], cells[1], cells[3], ""]) if len(cells := line.split("|")) == 5 else line
        for line in table
    ]
    assert facts(parse_table("\n".join(swapped))) == facts(parse_table("\n".join(table)))
    assert swapped != table


@pytest.mark.parametrize("size", [10_000, 300_000])
@pytest.mark.parametrize("filler", ["x", " ", "9", "|", '"', "(", "A1 ", "-"])
def test_a_long_line_takes_for_ever(filler: str, size: int) -> None:
    assert len(read(formats_tables.table(p800(1)) + filler * size + "\n").devices) == 1
