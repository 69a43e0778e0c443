"""``cnmon``: a ruled table with two lines a device and two lines of titles, in every version from 1.16 to 6.x.

Versions differ in what stands where: those up to 4.20 have no Bus-Id and print the driver's version in the row; 5.10
has SR-IOV where later ones have Mode. So nothing is read by place: a cell is known by the titles above it. Under titles
that are not known, as in another language, a row that shows by itself what it is gives its name, address and memory.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import attrs

from sage_infer_contracts.detecting.text import lines, pci_address, percent, whole
from sage_infer_contracts.devices import HealthState

from .records import Card, name_of, number_of, usage, version_of

_VERSION_LINE = re.compile(r"\bCNMON\s+(v?\d[\w.]*)", re.ASCII | re.IGNORECASE)
_DRIVER_LINE = re.compile(r"\bDriver\s+(v?\d[\w.]*)", re.ASCII | re.IGNORECASE)
_TWO_WORDS = re.compile(r"\b(memory|bus|ecc|compute)[ _](usage|id|error|mode)\b")
_RULE = re.compile(r"[+-]{1,400}")
_EVIDENT = re.compile(
    r"[0-9]{1,4} {1,16}(?:(?:/|[0-9]{1,4}) {1,16})?MLU-?[0-9][\w-]{2,20} {1,16}v?[0-9]+\.[\w.]+", re.ASCII
)
_LONGEST_TAIL = 8
"""Characters that encodings and pipes leave behind a line's last rule, at most."""
_LAST_COLUMN = 400
"""No line of a table is longer; what is, is noise, and is not looked at."""

Titles = tuple[tuple[str, ...], ...]
"""Titles of each cell of a line, in lower case."""


@attrs.define(slots=True)
class _Row:
    """The values of one device by title, as far as they are read, and the cells of its two lines."""

    values: dict[str, str]
    cells: list[str]
    more: Sequence[str] = ()


@attrs.define(slots=True)
class _Reader:
    """What is known while the lines are read: the two lines of titles, and the device that is being read."""

    upper: Titles = ()
    lower: Titles = ()
    rows: list[_Row] = attrs.field(factory=list)
    current: _Row | None = None
    processes: bool = False

    def take(self, cells: list[str]) -> None:
        """Take a line of cells in."""
        titles = tuple(tuple(_TWO_WORDS.sub(r"\1-\2", cell.lower()).split()) for cell in cells)
        words = {word for cell in titles for word in cell}
        if "card" in words:
            # Processes have a table with a title Card too, and no device stands in it.
            self.processes = "name" not in words
            self.upper, self.current = (() if self.processes else titles), None
            self.lower = self.lower if self.upper else ()
        elif self.upper and {"fan", "temp"} & words and not self._is_first(cells):
            self.lower = titles
        elif self._is_first(cells):
            titled = _by_title(self.upper, cells) if self.upper else _by_kind(cells[0].split())
            self.current = _Row(titled, cells)
            self.rows.append(self.current)
        elif self.current is not None and not self.current.more and len(cells) == len(self.current.cells):
            titled = _by_title(self.lower, cells) if len(cells) == len(self.lower) else {}
            self.current.values = {**titled, **self.current.values}
            self.current.more = cells

    def _is_first(self, cells: Sequence[str]) -> bool:
        """Say whether the line is the first of a device: its number stands under Card, or it is evident."""
        if not self.upper:
            return not self.processes and len(cells) == 3 and _EVIDENT.fullmatch(cells[0]) is not None
        if len(cells) != len(self.upper):
            return False
        return number_of(_by_title(self.upper, cells).get("card")) is not None


def parse_table(text: str) -> list[Card]:
    """Return the devices of ``cnmon``'s table, each once. Half a row is none."""
    reader, driver = _Reader(), None
    if "|" not in text:
        return []
    for line in _unwrapped(lines(text)):
        stripped = line.strip()
        if stripped.startswith("+"):
            reader.current = None
        elif stripped.startswith("|") and stripped.endswith("|") and len(stripped) > 1:
            if driver is None and _VERSION_LINE.search(stripped):
                match = _DRIVER_LINE.search(stripped)
                driver = match[1] if match else None
            reader.take([cell.strip() for cell in stripped[1:-1].split("|")])
    found: dict[tuple[int, int | None], Card] = {}
    for row in reader.rows:
        card = _card(row, driver)
        if card is not None and card.index is not None:
            found.setdefault((card.index, card.instance), card)
    return list(found.values())


def parse_tool_version(text: str) -> str | None:
    """Return the version that cnmon prints of itself, e.g. ``v5.10.13``; in a container the driver's may differ."""
    for line in lines(text):
        match = _VERSION_LINE.search(line[:_LAST_COLUMN])
        if match:
            return version_of(match[1])
    return None


def _unwrapped(read: Sequence[str]) -> list[str]:
    """Join lines that a terminal broke: all of the table's are equally long, so each has as many pieces as a rule."""
    short = [line for line in read if len(line) <= _LAST_COLUMN]
    width, pieces = _pieces(short)
    if pieces < 2:
        return [_trimmed(line) for line in short]
    joined: list[str] = []
    at = 0
    while at < len(short):
        count = pieces if short[at][:1] in ("|", "+") else 1
        group = short[at : at + count]
        joined.append(_trimmed("".join([*(piece.ljust(width) for piece in group[:-1]), group[-1]])))
        at += count
    return joined


def _pieces(read: Sequence[str]) -> tuple[int, int]:
    """Return the width of a broken rule's first piece, and in how many pieces the rule is."""
    for at, line in enumerate(read):
        if line.startswith("+") and _RULE.fullmatch(line):
            end = at + 1
            while end < len(read) and read[end] and _RULE.fullmatch(read[end]):
                end += 1
            return len(line), end - at
    return 0, 1


def _trimmed(line: str) -> str:
    end = len(line)
    while end > max(0, len(line) - _LONGEST_TAIL) and not (line[end - 1].isalnum() or line[end - 1] in "|+_"):
        end -= 1
    return line[:end]


def _by_title(titles: Titles, cells: Sequence[str]) -> dict[str, str]:
    """Give the values of each cell their titles. A cell with one title is one value; else they stand in order."""
    values: dict[str, str] = {}
    for names, cell in zip(titles, cells, strict=True):
        if len(names) == 1:
            values.setdefault(names[0], cell)
            continue
        words = cell.split()
        if len(words) != len(names):  # a value of several words: wider gaps are between values
            words = re.split(r"\s{2,}", cell)
        if len(words) == len(names):
            for name, word in zip(names, words, strict=True):
                values.setdefault(name, word)
        elif names[:1] == ("card",) and number_of(cell.partition(" ")[0]) is not None:
            values |= {**_by_kind(cell.split()), **values}
    return values


def _by_kind(words: Sequence[str]) -> dict[str, str]:
    """Tell the values of a device's first cell by what they look like, where one of them is left blank."""
    found = {"card": words[0]}
    for word in words[1:]:
        kind = "firmware" if version_of(word) else "vf" if number_of(word) is not None else "name"
        if kind != "name" or name_of(word):
            found.setdefault(kind, word)
    return found


def _card(row: _Row, driver: str | None) -> Card | None:
    values = row.values
    name = name_of(values.get("name"))
    if name is None:
        return None
    titled = _first(values, "memory-usage", "memory")
    # Of two cells with sizes, the second one is virtual memory.
    used, total = usage(titled) if titled is not None else _usage_evident(row.more)
    errors = whole(_first(values, "ecc-error", "ecc"))
    health, reason = _health(values, errors)
    shown = (*row.cells, values.get("bus-id"))
    addresses = {found for cell in shown if (found := pci_address(cell))}
    return Card(
        index=number_of(values.get("card")),
        instance=number_of(_first(values, "vf", "mi", "vf/mi", "mi/vf")),
        name=name,
        bdf=min(addresses) if len(addresses) == 1 else None,
        driver=version_of(values.get("driver") or driver),
        firmware=version_of(values.get("firmware")),
        memory_total_bytes=total,
        memory_used_bytes=used,
        utilisation_percent=percent(values.get("util")),
        ecc_errors=errors,
        mode=_mode(values),
        health=health,
        health_reason=reason,
    )


def _usage_evident(cells: Sequence[str]) -> tuple[int | None, int | None]:
    return next((found for cell in cells if (found := usage(cell))[1] is not None), (None, None))


def _first(values: Mapping[str, str], *titles: str) -> str | None:
    return next((values[title] for title in titles if title in values), None)


def _mode(values: Mapping[str, str]) -> str | None:
    """Return how the card is shared out: FULL, or what it is split into; older versions say whether SR-IOV is on."""
    if values.get("sr-iov", "").lower() in ("on", "enable", "enabled"):
        return "SR-IOV"
    said = values.get("mode")
    return said if said is not None and re.fullmatch(r"[A-Za-z][A-Za-z-]{1,15}", said) else None


def _health(values: Mapping[str, str], errors: int | None) -> tuple[HealthState, str | None]:
    if values.get("inited", "").lower() == "off":
        return "failed", "cnmon: Inited Off, the driver has not started this card"
    if errors:
        return "degraded", f"cnmon: {errors} ECC errors are counted"
    return "unknown", None
