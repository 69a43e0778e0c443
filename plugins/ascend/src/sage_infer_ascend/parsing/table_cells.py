"""Cells of the table of ``npu-smi info``: titles in those of a heading, and the values for them in those of a row.

A cell may hold several of either, such as power, temperature and pages.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import attrs

_LONGEST = 1000
_TITLE = re.compile(
    r"(?<![\w-])(?:(?P<npu>NPU(?: ID)?(?! *Util))|(?P<name>Name)|(?P<chip>Chip(?: ID)?)|(?P<logic>Device)"
    r"|(?P<physical>Phy-?ID)|(?P<health>Health)|(?P<bus>Bus-?Id)"
    r"|(?P<power>Power)|(?P<temperature>Temp)|(?P<hugepages>Huge[ -]*pages(?:-Usage)?|Huge)"
    r"|(?P<busy>AI ?Core|NPU Util)|(?P<memory>Mem(?:ory)?(?:-Usage)?)|(?P<hbm>HBM(?:-Usage)?))"
    r"(?![\w-])(?P<unit>\([^)]*\))?",
    re.IGNORECASE,
)
_PAIRED = frozenset({"hugepages", "memory", "hbm"})
_WORD = re.compile(r"[^ \t/]+[ \t]*/[ \t]*[^ \t/]+|[^ \t]+")
NO_ADDRESS = frozenset({"na", "n/a", "-"})
"""What stands in place of a PCI address where the device is not on PCI (A5 on the unified bus)."""


@attrs.frozen(slots=True)
class Title:
    """One title: its kind (empty: not known), its unit, and whether its values are pairs with a slash."""

    name: str
    unit: str | None
    paired: bool


def cells_of(line: str) -> list[str] | None:
    """Split a row at its bars; None for any other line."""
    row = line.rstrip(" \t").lstrip("#> \t")  # a quoted table, or one in a comment
    if not row.startswith("|") or len(row) > _LONGEST or row.count("|") < 2:
        return None
    return [cell.strip(" \t") for cell in row[1 : row.rfind("|")].split("|")]


def titles_of(cell: str) -> list[Title]:
    """Return the titles in a cell, in order; words between known ones are titles of single values, not known."""
    found: list[Title] = []
    at = 0
    for match in _TITLE.finditer(cell):
        found += _unknown(cell[at : match.start()])
        name = next(name for name, value in match.groupdict().items() if value is not None)
        unit = (match["unit"] or "").strip("()")
        found.append(Title(name, unit or None, name in _PAIRED))
        at = match.end()
    return found + (_unknown(cell[at:]) if found else [])


def _unknown(text: str) -> list[Title]:
    return [
        Title("", None, paired="usage" in word.lower())
        for word in re.split(r"[ \t]{2,}", text)
        if word.strip()
    ]


def values_of(titles: Sequence[Sequence[Title]], cells: Sequence[str]) -> dict[str, str]:
    """Return the values of a row by the names of the titles above them, column by column."""
    values: dict[str, str] = {}
    for column, cell in zip(titles, cells, strict=True):
        values.update(_values_in(column, cell))
    return values


def _values_in(titles: Sequence[Title], cell: str) -> dict[str, str]:
    """Return the values of a cell: pairs with a slash and single words go to titles of their kind, in order.

    Where there are more or fewer than titles, nobody can say which is which, and none is taken; only a name may be
    several words. More single words than titles may be pieces of a pair, so no pair is taken either.
    """
    words = _WORD.findall(cell)
    pairs = [word for word in words if "/" in word and word.lower() not in NO_ADDRESS]
    singles = [word for word in words if "/" not in word or word.lower() in NO_ADDRESS]
    named = [title.name for title in titles if not title.paired]
    if "name" in named and len(singles) > len(named):
        at, more = named.index("name"), len(singles) - len(named)
        singles[at : at + more + 1] = [" ".join(singles[at : at + more + 1])]
    values: dict[str, str] = {}
    for names, found in ((named, singles), ([one.name for one in titles if one.paired], pairs)):
        if len(names) == len(found):
            values.update((name, word) for name, word in zip(names, found, strict=True) if name)
    if "" in named:
        values.pop("name", None)  # beside a title that is not known, any word could be the name
    return values if len(singles) <= len(named) else {}
