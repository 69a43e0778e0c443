"""What ``--showtopo`` prints: which cards reach each other, weights, hops, kinds of links, and NUMA nodes."""

from __future__ import annotations

import re
from collections.abc import Mapping

import attrs

from sage_infer_contracts.detecting.text import lines

from .rows import whole_lines

Matrix = Mapping[tuple[int, int], str]
"""Words by the numbers of two cards, as printed."""

_TITLE = re.compile(r"\s*+(link accessible|weight|hops|link type)\s+between\b", re.IGNORECASE)
_LABEL = re.compile(r"(?:HCU|DCU|GPU)\[?([0-9]{1,4})\]?", re.ASCII | re.IGNORECASE)
_NUMA = re.compile(
    r"\s*+(HCU|DCU|GPU)\[([0-9]{1,4})\]\s*+:\s*+(?:\(topology\)\s*+)?numa (node|affinity)\s*+:?\s*+(-?[0-9]{1,4})$",
    re.ASCII | re.IGNORECASE,
)
_PAIR = re.compile(
    r'"(?:\(topology\)\s*+)?(link accessible|weight|hops|link type)\s+between\s+(?:DRM )?devices\s+'
    r'([0-9]{1,4})\s+and\s+([0-9]{1,4})"\s*+:\s*+"([^"\n]{1,30})"',
    re.ASCII | re.IGNORECASE,
)
_NO_LINK = frozenset({"", "-", "0", "n/a", "none", "unknown", "false", "err!"})


@attrs.frozen(slots=True)
class Topology:
    """The four matrices and the NUMA nodes; empty where nothing was printed or read. ``labels`` are those of cards."""

    accessible: Matrix = attrs.field(factory=dict)
    weights: Matrix = attrs.field(factory=dict)
    hops: Matrix = attrs.field(factory=dict)
    link_types: Matrix = attrs.field(factory=dict)
    numa_nodes: Mapping[int, int] = attrs.field(factory=dict)
    labels: frozenset[str] = frozenset()

    @property
    def cards(self) -> frozenset[int]:
        """Numbers of the cards that are named."""
        pairs = (*self.accessible, *self.weights, *self.hops, *self.link_types)
        return frozenset({*self.numa_nodes, *(card for pair in pairs for card in pair)})


@attrs.frozen(slots=True)
class Links:
    """Kinds of links, once a pair, and what the two directions say differently, in words."""

    kinds: Mapping[tuple[int, int], str]
    disagreements: tuple[str, ...] = ()


def parse_topology(text: str) -> Topology:
    """Read ``--showtopo``: a title, a line of cards, and a row that begins with each card's name; or JSON, by pairs."""
    matrices: dict[str, dict[tuple[int, int], str]] = {
        title: {} for title in ("link accessible", "weight", "hops", "link type")
    }
    nodes: dict[str, dict[int, int]] = {"node": {}, "affinity": {}}
    labels: set[str] = set()
    matrix: dict[tuple[int, int], str] | None = None
    columns: list[int] = []
    for line in whole_lines(text):
        words = line.split()
        cards = [_LABEL.fullmatch(word) for word in words]
        if title := _TITLE.match(line):
            matrix, columns = matrices[" ".join(title[1].lower().split())], []
        elif numa := _NUMA.match(line):
            labels.add(numa[1].upper())
            nodes[numa[3].lower()].setdefault(int(numa[2]), int(numa[4]))
        elif len(words) > 1 and all(cards):
            columns = [int(card[1]) for card in cards if card is not None]
        elif matrix is not None and cards and cards[0] is not None and len(words) == len(columns) + 1:
            labels.add(words[0].partition("[")[0].upper())
            for column, word in zip(columns, words[1:], strict=True):
                matrix.setdefault((int(cards[0][1]), column), word)
    for pair in _PAIR.finditer("\n".join(lines(text + "\n"))):
        matrices[pair[1].lower()].setdefault((int(pair[2]), int(pair[3])), pair[4])
    return Topology(
        accessible=matrices["link accessible"],
        weights=matrices["weight"],
        hops=matrices["hops"],
        link_types=matrices["link type"],
        numa_nodes={card: node for card, node in {**nodes["affinity"], **nodes["node"]}.items() if node >= 0},
        labels=frozenset(labels),
    )


def links_of(topology: Topology) -> Links:
    """Return the kind of link of each pair, as the tool names it; none where the two cards cannot reach each other.

    Where the two directions are of different kinds, neither is believed.
    """
    kinds: dict[tuple[int, int], str] = {}
    disagreements: list[str] = []
    for one, other in sorted({(min(pair), max(pair)) for pair in topology.link_types}):
        said = {
            word
            for pair in ((one, other), (other, one))
            if (word := topology.link_types.get(pair, "")).lower() not in _NO_LINK
        }
        if one == other or not said or not _reached(topology, one, other):
            continue
        if len(said) == 1:
            kinds[one, other] = said.pop()
        else:
            disagreements.append(f"the link between {one} and {other} is {' and '.join(sorted(said))}")
    return Links(kinds, tuple(disagreements))


def _reached(topology: Topology, one: int, other: int) -> bool:
    return all(
        topology.accessible.get(pair, "TRUE").upper() != "FALSE" for pair in ((one, other), (other, one))
    )
