"""``xpu-smi topo -m``: how each device reaches the others and the network cards, as a matrix.

Format: the tests of two deployment tools that read it (columns XPU0, XPU1, ... then NIC0 or a card's own name, then
``CPU Affinity`` and ``NUMA Affinity``). Links are called XL (Kunlunxin's own), PIX, PXB, PHB, NODE and SYS.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import attrs

from sage_infer_contracts.detecting.text import lines, whole

_XPU = re.compile(r"XPU([0-9]{1,4})", re.ASCII)
_LINK = re.compile(r"[A-Z]{2,6}[0-9]{0,3}", re.ASCII)
_AFFINITY = re.compile(r"(?:CPU|NUMA|XPU NUMA|GPU NUMA) (?:Affinity|ID)")


@attrs.frozen(slots=True)
class Topology:
    """Kinds of links by pairs of indices, the lower one first; NUMA nodes by index; what contradicts itself; rows."""

    links: Mapping[tuple[int, int], str] = attrs.field(factory=dict)
    numa: Mapping[int, int] = attrs.field(factory=dict)
    contradictions: tuple[str, ...] = ()
    indices: tuple[int, ...] = ()


@attrs.frozen(slots=True)
class _Heading:
    columns: tuple[str, ...]
    affinities: tuple[str, ...]


def parse_topology(text: str) -> Topology:
    """Read the matrix. A pair of which the two directions disagree has no link, and is named."""
    heading: _Heading | None = None
    cells: dict[tuple[int, int], str] = {}
    numa: dict[int, int] = {}
    rows: dict[int, None] = {}
    for line in lines(text):
        words = line.split()
        heading = heading or _heading(line)
        row = _XPU.fullmatch(words[0]) if words else None
        if heading is None or row is None or _heading(line) is not None:
            continue
        values = words[1 : 1 + len(heading.columns)]
        if len(values) < len(heading.columns):
            continue  # cut short
        rows.setdefault(int(row[1]))
        for column, value in zip(heading.columns, values, strict=True):
            other = _XPU.fullmatch(column)
            if other is not None and other[1] != row[1] and _LINK.fullmatch(value):
                cells.setdefault((int(row[1]), int(other[1])), value)
        node = _node(heading, words[1 + len(heading.columns) :])
        if node is not None:
            numa.setdefault(int(row[1]), node)
    return attrs.evolve(_agreed(cells, numa), indices=tuple(sorted(rows)))


def _heading(line: str) -> _Heading | None:
    """Read a line of titles: it begins with two columns' names, or with the one device's and an affinity."""
    first = _AFFINITY.search(line)
    columns = tuple((line[: first.start()] if first else line).split())
    if not columns or not _XPU.fullmatch(columns[0]) or (len(columns) == 1 and first is None):
        return None
    if any(column == "X" or _is_kind(column) for column in columns):
        return None
    return _Heading(columns, tuple(match[0] for match in _AFFINITY.finditer(line)))


def _is_kind(word: str) -> bool:
    return _LINK.fullmatch(word) is not None and not word.startswith(("XPU", "NIC"))


def _node(heading: _Heading, words: list[str]) -> int | None:
    """Return the one NUMA node of a row; None for several, for none, and where a value may be missing."""
    if "NUMA Affinity" not in heading.affinities or len(words) != len(heading.affinities):
        return None
    return whole(words[heading.affinities.index("NUMA Affinity")])


def _agreed(cells: Mapping[tuple[int, int], str], numa: Mapping[int, int]) -> Topology:
    links: dict[tuple[int, int], str] = {}
    contradictions = []
    for (one, other), kind in sorted(cells.items()):
        back = cells.get((other, one), kind)
        if back == kind:
            links[min(one, other), max(one, other)] = kind
        elif one < other:
            contradictions.append(f"XPU{one} calls its link to XPU{other} {kind}, and XPU{other} {back}")
    return Topology(links, numa, tuple(contradictions))
