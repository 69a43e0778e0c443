"""``npu-smi info -t topo``: how each two NPUs are connected, and which CPUs are near."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import attrs

from sage_infer_contracts.detecting.text import lines

from .wrapped_lines import unwrapped

_LONGEST = 10_000
_LABEL = re.compile(r"(NPU|Phy-ID)([0-9]{1,6})", re.ASCII | re.IGNORECASE)
_KIND = re.compile(r"[A-Z][A-Z0-9_]{0,15}|N/A|-", re.ASCII)
_CPUS = re.compile(r"[0-9]{1,6}(?:-[0-9]{1,6})?(?:,[0-9]{1,6}(?:-[0-9]{1,6})?)*,?", re.ASCII)
ITSELF = "X"
UNKNOWN = frozenset({"NA", "N/A", "-"})
"""``NA`` is what the tool's legend calls an unknown relationship."""


@attrs.frozen(slots=True)
class Label:
    """A row's or column's name: ``NPU3`` counts as the runtime does, ``Phy-ID3`` by physical id (A3)."""

    kind: str
    number: int

    def __str__(self) -> str:
        return f"{self.kind}{self.number}"


@attrs.frozen(slots=True)
class Topology:
    """``paths`` are once per pair, in the order of the rows; ``doubts`` say which rows are not there, and which pairs
    of ends contradict each other.
    """

    labels: tuple[Label, ...] = ()
    paths: Mapping[tuple[Label, Label], str] = attrs.field(factory=dict)
    cpus: Mapping[Label, str] = attrs.field(factory=dict)
    doubts: tuple[str, ...] = ()


def parse_topology(text: str) -> Topology:
    """Read the matrix. Rows that are cut, or do not cross themselves at their own column, are left out."""
    plain = lines(text)
    found = _read(plain)
    rows = {label for line in plain if len(line) < _LONGEST for label in _labels(line.split()[:1])}
    if len(found.labels) == len(rows) > 0:
        return found
    other = _read(unwrapped(text))
    return other if len(other.paths) > len(found.paths) else found


def _read(text: Iterable[str]) -> Topology:
    columns: list[Label] = []
    rows: dict[Label, list[str]] = {}
    cpus: dict[Label, str] = {}
    for line in text:
        words = line[:_LONGEST].split()
        labels = _labels(words)
        if len(labels) > 1 or (labels and "Affinity" in words):
            columns = columns or labels
        elif labels and columns:
            kinds = words[1 : len(columns) + 1]
            if labels[0] in columns and labels[0] not in rows and _is_row(labels[0], columns, kinds):
                rows[labels[0]] = kinds
                near = "".join(words[len(columns) + 1 :])
                if _CPUS.fullmatch(near):
                    cpus[labels[0]] = near.rstrip(",")
    return _symmetric(columns, rows, cpus)


def _labels(words: Sequence[str]) -> list[Label]:
    """Return the labels that a line begins with."""
    found: list[Label] = []
    for word in words:
        match = _LABEL.fullmatch(word)
        if match is None:
            break
        found.append(Label("NPU" if match[1].upper() == "NPU" else "Phy-ID", int(match[2])))
    return found


def _is_row(label: Label, columns: Sequence[Label], kinds: Sequence[str]) -> bool:
    return (
        len(kinds) == len(columns)
        and all(map(_KIND.fullmatch, kinds))
        and [kind == ITSELF for kind in kinds] == [column == label for column in columns]
    )


def _symmetric(
    columns: Sequence[Label], rows: Mapping[Label, list[str]], cpus: Mapping[Label, str]
) -> Topology:
    paths: dict[tuple[Label, Label], str] = {}
    doubts = [f"{label} has no row in the matrix" for label in columns if label not in rows]
    for one, kinds in rows.items():
        for other, kind in zip(columns, kinds, strict=True):
            if other == one or (other, one) in paths:
                continue
            back = rows[other][columns.index(one)] if other in rows else kind
            if back != kind:
                if columns.index(one) < columns.index(other):
                    doubts.append(f"{one} to {other} is {kind}, and back {back}")
            elif kind not in UNKNOWN:
                paths[one, other] = kind
    return Topology(tuple(rows), paths, cpus, tuple(doubts))
