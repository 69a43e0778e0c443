"""``npu-smi info``: the table of devices, of any chip family and release, read by the titles above it.

Each device has two rows, and so have the titles. Which columns there are differs between families (310P, 910A, A2, A3,
A5), their widths differ between releases, and a cell may hold several values; see ``simulated/formats.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import attrs

from sage_infer_contracts.detecting.text import decimal, lines, pci_address, percent, size_bytes, whole

from .key_values import given
from .table_cells import NO_ADDRESS, Title, cells_of, titles_of, values_of
from .wrapped_lines import unwrapped

_FIRST = frozenset({"npu", "name", "health", "power", "temperature", "hugepages"})
_SECOND = frozenset({"bus", "busy", "memory", "hbm"})
_VERSION = re.compile(r"npu-smi[ \t]+(\S{1,64})[ \t]+Version:[ \t]*(\S{1,64})")
_HEADING = re.compile(r"Process|Health|Power|Temp|Hugepages|Bus-?Id|Usage|HBM|Name|AI ?Core", re.IGNORECASE)
"""Words that only headings have; cheap to look for, in every row."""
_MASKED_ADDRESS = re.compile(r"[0-9a-fx*?.]{1,8}(?::[0-9a-fx*?.]{1,4}){2,3}", re.ASCII | re.IGNORECASE)
"""A PCI address of which somebody hid a part before handing the table on; it is none, and its row is one."""


@attrs.frozen(slots=True, kw_only=True)
class TableRow:
    """One device as the table shows it; None: not shown, or not readable."""

    npu: int | None = None
    chip: int | None = None
    logic: int | None = None
    physical: int | None = None
    bdf: str | None = None
    name: str | None = None
    health: str | None = None
    power_w: float | None = None
    temperature_c: float | None = None
    busy_percent: float | None = None
    used_bytes: int | None = None
    total_bytes: int | None = None


@attrs.frozen(slots=True)
class Table:
    """What the tool printed. ``cut`` names devices of which only half is there."""

    rows: tuple[TableRow, ...] = ()
    cut: tuple[str, ...] = ()
    tool_version: str | None = None
    driver_version: str | None = None


def parse_info(text: str) -> Table:
    """Read the table; devices of which a row is missing or unreadable are in ``cut`` or left out."""
    plain = lines(text)
    table = _Reader().read(plain)
    if not table.rows or any(line.startswith("|") and not line.endswith("|") for line in plain):
        other = _Reader().read(unwrapped(text))
        return other if len(other.rows) >= max(1, len(table.rows)) else table
    return table


@attrs.define(slots=True)
class _Reader:
    first: list[list[Title]] = attrs.field(factory=list)
    second: list[list[Title]] = attrs.field(factory=list)
    pending: dict[str, str] | None = None
    rows: dict[tuple[object, ...], TableRow] = attrs.field(factory=dict)
    cut: list[str] = attrs.field(factory=list)

    def read(self, text: Iterable[str]) -> Table:
        versions: re.Match[str] | None = None
        for line in text:
            cells = cells_of(line)
            if cells is None:
                continue
            versions = versions or _VERSION.search(cells[0])
            if not (_HEADING.search(line) and self._is_heading(cells)):
                self._row(cells)
        self._give_up()
        tool, driver = versions.groups() if versions is not None else (None, None)
        return Table(tuple(self.rows.values()), tuple(self.cut), tool, driver)

    def _is_heading(self, cells: list[str]) -> bool:
        if any("process" in cell.lower() for cell in cells):  # below are processes, not devices
            self._give_up()
            self.first = self.second = []
            return True
        titles = [titles_of(cell) for cell in cells]
        names = {title.name for column in titles for title in column}
        if len(names & _FIRST) > 1 and not names & _SECOND:
            self._give_up()
            self.first, self.second = titles, []
            return True
        if names & _SECOND:
            self.second = titles
            return True
        return False

    def _row(self, cells: list[str]) -> None:
        if not len(cells) == len(self.first) == len(self.second):
            return
        if self.pending is not None:
            values = values_of(self.second, cells)
            if self._ends(values):
                row = _device(self.pending, values, self._units())
                if (row.npu, row.bdf, row.name) != (None, None, None):  # else a piece of a broken table
                    self.rows.setdefault((row.npu, row.chip, row.bdf if row.npu is None else None), row)
                self.pending = None
                return
        values = values_of(self.first, cells)
        if self._begins(values):
            self._give_up()
            self.pending = values
            return
        address = pci_address(values_of(self.second, cells).get("bus"))
        if address is not None:
            self.cut.append(f"the device at {address}")

    def _begins(self, values: Mapping[str, str]) -> bool:
        if self._has(self.first, "npu") and whole(values.get("npu")) is None:
            return False
        health = values.get("health", "")
        named = bool(values.get("name")) or not self._has(self.first, "name")
        judged = bool(health) or not self._has(self.first, "health")
        # A second row without a first has an address there, or a number.
        return named and judged and pci_address(health) is None and decimal(health) is None and bool(values)

    def _ends(self, values: Mapping[str, str]) -> bool:
        bus = values.get("bus", "")
        address = bus.lower() in NO_ADDRESS or pci_address(bus) is not None or _MASKED_ADDRESS.fullmatch(bus)
        return bool(address) or not self._has(self.second, "bus")

    def _give_up(self) -> None:
        if self.pending is not None:
            self.cut.append(f"NPU {self.pending.get('npu', 'without a number')}")
        self.pending = None

    def _units(self) -> dict[str, str]:
        return {title.name: title.unit for column in self.second for title in column if title.unit}

    @staticmethod
    def _has(titles: Sequence[Sequence[Title]], name: str) -> bool:
        return any(title.name == name for column in titles for title in column)


def _device(first: Mapping[str, str], second: Mapping[str, str], units: Mapping[str, str]) -> TableRow:
    used, total = _memory(second, units)
    return TableRow(
        npu=whole(first.get("npu")),
        chip=whole(second.get("chip")),
        logic=whole(second.get("logic")),
        physical=whole(second.get("physical")),
        bdf=pci_address(second.get("bus")),
        name=given(first.get("name")),
        health=first.get("health"),
        power_w=decimal(first.get("power")),
        temperature_c=decimal(first.get("temperature")),
        busy_percent=percent(second.get("busy")),
        used_bytes=used,
        total_bytes=total,
    )


def _memory(values: Mapping[str, str], units: Mapping[str, str]) -> tuple[int | None, int | None]:
    """Return used and total of the HBM, or of the DDR where there is no HBM; a total of 0 is none."""
    for name in ("hbm", "memory"):
        used, _, total = values.get(name, "").partition("/")
        capacity = _whole_bytes(total, units.get(name))
        if capacity:
            taken = _whole_bytes(used, units.get(name))
            return (taken if taken is not None and taken <= capacity else None), capacity
    return None, None


def _whole_bytes(text: str, unit: str | None) -> int | None:
    """Read a whole number of the column's unit; the tool prints no other, so a point is one between thousands."""
    return size_bytes(text, unit=unit) if whole(text) is not None else None
