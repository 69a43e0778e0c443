"""``nvidia-smi topo -m``: how GPUs reach each other, and the processors and NUMA node next to each."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import attrs

from sage_infer_contracts.detecting.text import lines, whole

_GPU = re.compile(r"GPU([0-9]{1,4})", re.ASCII)
_KIND = re.compile(r"(?:NV[0-9]{1,2}|SYS|NODE|PHB|PXB|PIX|PSB|SOC|C2C)", re.ASCII)
_CPUS = re.compile(r"[0-9]{1,5}(?:-[0-9]{1,5})?(?:,[0-9]{1,5}(?:-[0-9]{1,5})?)*", re.ASCII)
_REST_OF_MARKUP = re.compile(r"\[[0-9]{1,2}m", re.ASCII)
"""What is left of an underline where a copy lost the escape characters."""
_NOT_KNOWN = re.compile(r"N/A|ERR!|\[?Not Supported\]?", re.ASCII)
_SELF = "X"
_TITLES = ("CPU Affinity", "NUMA Affinity", "GPU NUMA ID")


@attrs.frozen(slots=True)
class Topology:
    """What was read, by the tool's GPU numbers. ``doubts`` say where the matrix contradicts itself.

    ``gpus`` are those whose rows have only words of this tool: others print matrices of ``GPU0``, ``GPU1`` too.
    """

    gpus: tuple[int, ...] = ()
    links: Mapping[tuple[int, int], str] = attrs.field(factory=dict)
    numa_nodes: Mapping[int, int] = attrs.field(factory=dict)
    cpu_affinity: Mapping[int, str] = attrs.field(factory=dict)
    doubts: tuple[str, ...] = ()


def parse_topology(text: str) -> Topology:
    """Read the matrix. A row whose ``X`` is not in its own column is none; a pair is listed once, low number first."""
    names: list[str] = []
    titles: list[str] = []
    cells: dict[tuple[int, int], str] = {}
    numa: dict[int, int] = {}
    cpus: dict[int, str] = {}
    seen: list[int] = []
    gpus: list[int] = []
    for raw in lines(text):
        line = _REST_OF_MARKUP.sub("", raw)
        words = line.split()
        if not names:
            names, titles = _heading(line)
            continue
        row = _row(words, names)
        if row is None or row[0] in seen:
            continue
        number, kinds = row
        seen.append(number)
        links = {(number, other): kind for other, kind in kinds.items() if _KIND.fullmatch(kind)}
        if len(links) == len([kind for kind in kinds.values() if not _NOT_KNOWN.fullmatch(kind)]):
            gpus.append(number)
        cells |= links
        rest = dict(zip(titles, words[1 + len(names) :], strict=False))
        if len(words) - 1 - len(names) == len(titles):
            node = whole(rest.get("NUMA Affinity"))
            if node is not None:
                numa[number] = node
            if _CPUS.fullmatch(rest.get("CPU Affinity", "")):
                cpus[number] = rest["CPU Affinity"]
    pairs, doubts = _pairs(cells)
    return Topology(tuple(sorted(gpus)), pairs, numa, cpus, doubts)


def _heading(line: str) -> tuple[list[str], list[str]]:
    """Return the devices and the titles of columns behind them; nothing unless a GPU is first and no name is twice."""
    found = sorted((at, title) for title in _TITLES if (at := line.find(title)) >= 0)
    devices = line[: found[0][0]].split() if found else line.split()
    numbered = bool(devices) and _GPU.fullmatch(devices[0]) is not None
    if not numbered or _SELF in devices or len(set(devices)) != len(devices):
        return [], []
    return devices, [title for _, title in found]


def _row(words: Sequence[str], names: Sequence[str]) -> tuple[int, dict[int, str]] | None:
    """Return a GPU's number and what it says of other GPUs; None for a row of anything else, or one that is shifted."""
    match = _GPU.fullmatch(words[0]) if words else None
    if match is None or words[0] not in names or len(words) <= len(names):
        return None
    own = dict(zip(names, words[1 : 1 + len(names)], strict=True))
    if own[words[0]] != _SELF or list(own.values()).count(_SELF) != 1:
        return None
    kinds = {
        int(other[1]): kind
        for name, kind in own.items()
        if (other := _GPU.fullmatch(name)) and name != words[0]
    }
    return int(match[1]), kinds


def _pairs(cells: Mapping[tuple[int, int], str]) -> tuple[dict[tuple[int, int], str], tuple[str, ...]]:
    links: dict[tuple[int, int], str] = {}
    doubts: list[str] = []
    for (one, other), kind in sorted(cells.items()):
        back = cells.get((other, one), kind)
        if back != kind:
            if one < other:
                doubts.append(f"topo -m says {kind} from GPU{one} to GPU{other} and {back} back")
        else:
            links.setdefault((min(one, other), max(one, other)), kind)
    return links, tuple(doubts)
