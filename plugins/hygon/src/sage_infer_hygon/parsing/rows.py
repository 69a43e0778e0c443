"""Rows of named values: what ``hy-smi`` and Hygon's ``rocm-smi`` say of each card, in whichever form they print it.

What a value means is for :mod:`..readings` to say. A card is called HCU by newer tools, DCU by those of the Z100, and
GPU by those made from ROCm 4, as AMD's own tool calls its cards.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import attrs

from sage_infer_contracts.detecting.text import lines

Label = Literal["HCU", "DCU", "GPU"]


@attrs.frozen(slots=True)
class Row:
    """One card: its number in the tool, and named values as printed. ``label`` is None where the tool uses none."""

    index: int
    label: Label | None
    values: Mapping[str, str]


@attrs.frozen(slots=True)
class Listing:
    """Rows by number, and the values that are not of one card."""

    rows: tuple[Row, ...] = ()
    system: Mapping[str, str] = attrs.field(factory=dict)


@attrs.define(slots=True)
class RowCollector:
    """Collects rows. Where something is printed twice, the first counts."""

    found: dict[int, tuple[Label | None, dict[str, str]]] = attrs.field(factory=dict)
    system: dict[str, str] = attrs.field(factory=dict)

    def add(self, index: int, label: Label | None, key: str, value: str) -> None:
        """Keep a value of a card; an empty name, which the tools print in JSON, is none."""
        values = self.found.setdefault(index, (label, {}))[1]
        if name := plain_key(key):
            values.setdefault(name, value.strip())

    def listing(self) -> Listing:
        """Return what was collected, the rows by number."""
        rows = (Row(index, label, values) for index, (label, values) in sorted(self.found.items()) if values)
        return Listing(tuple(rows), self.system)


def whole_lines(text: str) -> list[str]:
    """Return the lines of an output that has several: one without a line break is half a line.

    A number of it may have lost digits.
    """
    return lines(text) if "\n" in text else []


def plain_key(key: str) -> str:
    """Return a name as it is looked up: lower case, single blanks, without ``(Topology)`` before it."""
    return " ".join(key.lower().split()).removeprefix("(topology) ")


def label_of(word: str) -> Label:
    """Return what a card is called, by the word in any case."""
    upper = word.upper()
    return "HCU" if upper == "HCU" else "DCU" if upper == "DCU" else "GPU"
