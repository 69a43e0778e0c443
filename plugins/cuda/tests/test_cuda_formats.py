"""Every printed form of generated GPUs is read back, whatever happens to its widths, order, ends and surroundings."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

import attrs
import pytest
from hypothesis import given, settings, strategies as st

from sage_infer_contracts.testing import Damage
from sage_infer_cuda.parsing.csv_query import parse_query_csv
from sage_infer_cuda.parsing.listing import parse_list
from sage_infer_cuda.parsing.nvlink import parse_nvlink
from sage_infer_cuda.parsing.query_text import parse_query_text
from sage_infer_cuda.parsing.query_xml import parse_query_xml
from sage_infer_cuda.parsing.records import Reading
from sage_infer_cuda.parsing.table import parse_table
from sage_infer_cuda.parsing.topology import parse_topology
from sage_infer_cuda.simulated.formats import csv_text, list_text, nvlink_text, table_text, topology_text
from sage_infer_cuda.simulated.formats_query import query_text, query_xml
from sage_infer_cuda.simulated.gpus import H200_SLICES, Gpu, gpus

NOISE = (
    "[HAMI-core Msg(28:140561996502848:libvgpu.c:836)]: Initializing.....",
    "2026-01-02 03:04:05.678 [4711] WARNING persistence mode is off",
    "警告: 未找到配置文件",
)
Printer = Callable[[Sequence[Gpu]], str]
TREE = frozenset({"uuid", "bdf", "minor", "memory", "busy", "ecc"})
ROWS = frozenset({"index", "bdf", "memory", "busy", "ecc"})
FORMS: dict[str, tuple[Printer, Callable[[str], Reading], frozenset[str]]] = {
    "csv": (csv_text, parse_query_csv, frozenset({"index", "uuid", "bdf", "memory", "busy", "ecc"})),
    "xml 11": (lambda them: query_xml(them, schema=11), parse_query_xml, TREE),
    "xml 13": (lambda them: query_xml(them, schema=13), parse_query_xml, TREE),
    "-q": (query_text, parse_query_text, TREE),
    "old table": (lambda them: table_text(them, style="old"), parse_table, ROWS),
    "table": (table_text, parse_table, ROWS),
    "table 610": (lambda them: table_text(them, style="610"), parse_table, ROWS),
    "list": (list_text, parse_list, frozenset({"index", "uuid"})),
}  # fmt: skip


@st.composite
def machines(draw: st.DrawFn) -> list[Gpu]:
    """Up to six GPUs of one or more products; some in MIG mode, some without ECC or a load that is known."""
    count = draw(st.integers(1, 6))
    names = st.sampled_from(
        [
            "NVIDIA H200",
            "NVIDIA L4",
            "Tesla T4",
            "NVIDIA GeForce RTX 5090 Laptop GPU",
            "NVIDIA A100-SXM4-80GB",
        ]
    )
    found = []
    for gpu in gpus(count):
        divided = draw(st.booleans())
        total = draw(st.integers(2048, 200_000))
        found.append(
            attrs.evolve(
                gpu,
                name=draw(names),
                memory_mib=total,
                used_mib=draw(st.integers(0, total)),
                busy_percent=None if divided else draw(st.none() | st.integers(0, 100)),
                uncorrected=draw(st.none() | st.integers(0, 3)),
                mig=divided or draw(st.sampled_from([None, False])),
                migs=H200_SLICES[: draw(st.integers(0, 3))] if divided else (),
            )
        )
    return found


def _facts(reading: Reading, shown: frozenset[str]) -> list[tuple[object, ...]]:
    facts = {
        "index": lambda one: one.ids.index,
        "uuid": lambda one: one.ids.uuid,
        "bdf": lambda one: one.ids.bdf,
        "minor": lambda one: one.ids.minor,
        "memory": lambda one: (one.memory_total_bytes, one.memory_used_bytes),
        "busy": lambda one: one.utilisation_percent,
    }
    return [tuple(fact(one) for name, fact in facts.items() if name in shown) for one in reading.devices]


def _wanted(found: Sequence[Gpu], shown: frozenset[str]) -> list[tuple[object, ...]]:
    facts = {
        "index": lambda one: one.index,
        "uuid": lambda one: one.uuid,
        "bdf": lambda one: one.bdf,
        "minor": lambda one: one.minor,
        "memory": lambda one: (one.memory_mib * 2**20, one.used_mib * 2**20),
        "busy": lambda one: one.busy_percent,
    }
    return [tuple(fact(one) for name, fact in facts.items() if name in shown) for one in found]


@pytest.mark.parametrize("form", FORMS)
@given(found=machines())
@settings(max_examples=15, deadline=None)
def test_what_is_printed_is_not_what_is_read(form: str, found: list[Gpu]) -> None:
    printed, parsed, shown = FORMS[form]
    reading = parsed(printed(found))
    assert _facts(reading, shown) == _wanted(found, shown)
    for device, gpu in zip(reading.devices, found, strict=True):
        assert device.name == gpu.name or (device.name or "").endswith("...")
        if "ecc" in shown and "table" not in form:
            assert device.health == (
                "degraded"
                if gpu.uncorrected
                else "unknown"
                if gpu.uncorrected is None and form == "csv"
                else "ok"
            )
    slices = [(one.number, one.memory_total_bytes, one.compute_units) for one in reading.slices]
    if form not in ("csv", "list"):
        assert slices == [
            (one.number, one.memory_mib * 2**20, one.processors) for gpu in found for one in gpu.migs
        ]
    if form == "list":
        assert [one.uuid for one in reading.slices] == [one.uuid(gpu) for gpu in found for one in gpu.migs]


@pytest.mark.parametrize("form", FORMS)
@given(blanks=st.integers(1, 30))
@settings(max_examples=8, deadline=None)
def test_wider_columns_and_noise_change_a_reading(form: str, blanks: int) -> None:
    printed, parsed, _ = FORMS[form]
    text = printed(gpus(3))
    noisy = Damage(before=NOISE, after=NOISE).text(text)
    assert parsed(noisy) == parsed(text)
    if "table" in form or form == "list":
        assert parsed(Damage(widen=blanks).text(text)) == parsed(text)
    assert parsed(f"\x1b[1;32m{text}\x1b[0m\n") == parsed(text.replace("\n", "\r\n")) == parsed(text)
    assert parsed(text + text) == parsed(text)


@given(seed=st.integers(0, 999))
@settings(max_examples=20, deadline=None)
def test_the_order_of_columns_and_rows_changes_a_reading(seed: int) -> None:
    shuffled = random.Random(seed)
    rows = [line.split(", ") for line in csv_text(gpus(4)).splitlines()]
    order = list(range(len(rows[0])))
    shuffled.shuffle(order)
    below = rows[1:]
    shuffled.shuffle(below)
    text = "".join(", ".join(row[at] for at in order) + "\n" for row in (rows[0], *below))
    by_address = {one.ids.bdf: one for one in parse_query_csv(text).devices}
    assert by_address == {one.ids.bdf: one for one in parse_query_csv(csv_text(gpus(4))).devices}


@pytest.mark.parametrize("form", FORMS)
def test_output_that_is_cut_off_invents_a_device(form: str) -> None:
    printed, parsed, _ = FORMS[form]
    found = [
        attrs.evolve(one, mig=True, migs=H200_SLICES[:1]) for one in gpus(2 if form in ("csv", "list") else 1)
    ]
    text = printed(found)
    whole = parsed(text)
    names = {one.name for one in whole.devices}
    ids = {id for one in whole.devices for id in (one.ids.uuid, one.ids.bdf)} - {None}
    sizes = {one.memory_total_bytes for one in (*whole.devices, *whole.slices)} | {None}
    for size in range(len(text)):
        cut = parsed(text[:size])
        assert len(cut.devices) <= len(whole.devices)
        assert len(cut.slices) <= len(whole.slices)
        for one in cut.devices:
            assert one.name in names | {None}
            assert {one.ids.uuid, one.ids.bdf} & ids
            assert one.memory_total_bytes in sizes


@pytest.mark.parametrize(
    "cell",
    [
        "N/A",
        "[N/A]",
        "-",
        "ERR!",
        "[Not Supported]",
        "[Insufficient Permissions]",
        "1,234 MiB",
        "12 345 MiB",
        "٣ MiB",
    ],
)
def test_a_cell_that_says_nothing_becomes_a_number(cell: str) -> None:
    text = csv_text(gpus(1)).replace("143771 MiB", cell).replace("37 %", cell)
    for device in parse_query_csv(text).devices:
        assert (device.memory_total_bytes, device.utilisation_percent) == (None, None)


def test_units_in_the_titles_alone_are_lost() -> None:
    bare = re.sub(r"(\d) (MiB|%)", r"\1", csv_text(gpus(1)))
    assert parse_query_csv(bare) == parse_query_csv(csv_text(gpus(1)))


def test_a_query_without_identities_shows_no_device() -> None:
    text = "name, memory.total [MiB]\nNVIDIA H20, 97871 MiB\nNVIDIA H20, 97871 MiB\n"
    assert [one.memory_total_bytes for one in parse_query_csv(text).devices] == [97871 * 2**20] * 2
    assert parse_query_csv(text + text) == parse_query_csv(text)


def test_a_lost_row_of_the_table_hides_the_others() -> None:
    text = table_text(gpus(2)).replace("36C    P0    78W / 700W", "ERR!   ERR!  ERR! / ERR!", 1)
    text = text.replace(f"{gpus(2)[0].bus_id} Off", f"{gpus(2)[0].bus_id} ERR!", 1)
    first, second = parse_table(text).devices
    assert (first.health, second.health) == ("degraded", "ok")
    assert "ERR" not in (first.name or "")


@given(
    count=st.integers(1, 8),
    cards=st.integers(0, 4),
    kind=st.sampled_from(["NV18", "SYS", "PIX", "NODE", "PHB", "PXB"]),
)
@settings(max_examples=15, deadline=None)
def test_a_matrix_is_misread(count: int, cards: int, kind: str) -> None:
    found = gpus(count)
    topology = parse_topology(topology_text(found, kind, nics=[f"mlx5_{n}" for n in range(cards)]))
    assert topology.gpus == tuple(range(count))
    assert topology.numa_nodes == {gpu.index: gpu.numa_node for gpu in found}
    assert topology.links == {(one, other): kind for one in range(count) for other in range(one + 1, count)}
    assert topology.doubts == ()
    spaced = topology_text(found, kind).replace("\t", "    ").replace("\x1b", "")
    assert parse_topology(spaced).links == topology.links


def test_a_matrix_that_contradicts_itself_is_believed() -> None:
    found = gpus(3)
    text = topology_text(found, lambda one, other: "NV4" if (one.index, other.index) == (0, 1) else "SYS")
    topology = parse_topology(text)
    assert topology.links == {(0, 2): "SYS", (1, 2): "SYS"}
    assert topology.doubts == ("topo -m says NV4 from GPU0 to GPU1 and SYS back",)


def test_a_cut_matrix_links_what_it_does_not_show() -> None:
    text = topology_text(gpus(4), "NV18")
    for size in range(len(text)):
        cut = parse_topology(text[:size])
        assert set(cut.links.values()) <= {"NV18"}
        assert set(cut.gpus) <= {0, 1, 2, 3}


@given(
    rates=st.dictionaries(st.integers(0, 35), st.none() | st.sampled_from([26.562, 25.0, 50.0]), max_size=18)
)
@settings(max_examples=15, deadline=None)
def test_nvlinks_are_misread(rates: dict[int, float | None]) -> None:
    found = [*gpus(1), attrs.evolve(gpus(2)[1], mig=True)]
    first, second = parse_nvlink(nvlink_text(found, rates))
    assert first.rates_gbps == rates
    assert second.rates_gbps == {}
    different = {rate for rate in rates.values() if rate}
    assert first.each_gbps == (different.pop() if len(different) == 1 else None)
