"""``npu-smi info -m``: which chip of which NPU has which logic id and which physical id."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import attrs

from sage_infer_contracts.detecting.text import lines, whole

from .wrapped_lines import unwrapped

_LONGEST = 1000
_TITLE = re.compile(
    r"(?P<npu>NPU[ _]ID)|(?P<slot>Slot[ _]ID)|(?P<logic>Chip[ _]Logic[ _]ID)|(?P<physical>Chip[ _]Phy-?ID)"
    r"|(?P<chip>Chip[ _]ID)|(?P<name>Chip[ _]Name)",
    re.IGNORECASE,
)
_GAP = re.compile(r"[ \t]{2,}|\t")
_OTHER_CHIPS = frozenset({"mcu", "3559"})
"""Board controllers and camera processors, listed among the chips and numbered with them."""


@attrs.frozen(slots=True, kw_only=True)
class MappedChip:
    """One chip. A5 prints no logic id, the families before A3 no physical id."""

    npu: int
    chip: int
    logic: int | None = None
    physical: int | None = None
    name: str | None = None


def parse_mapping(text: str) -> tuple[MappedChip, ...]:
    """Read the mapping; rows of other chips than NPUs, and rows that are not whole, are left out."""
    return _read(lines(text)) or _read(unwrapped(text))


def _read(text: Iterable[str]) -> tuple[MappedChip, ...]:
    titles: list[str] = []
    found: dict[tuple[int, int], MappedChip] = {}
    for line in text:
        if len(line) > _LONGEST:
            continue
        heading = _heading(line)
        if heading:
            titles = heading
            continue
        chip = _chip(dict(zip(titles, cells, strict=True))) if (cells := _cells(titles, line)) else None
        if chip is not None:
            found.setdefault((chip.npu, chip.chip), chip)
    return tuple(found.values())


def _heading(line: str) -> list[str]:
    """Return the titles of a heading, by their kind, in order; none for any other line."""
    known = list(_TITLE.finditer(line))
    if {match.lastgroup for match in known} < {"npu"} or len(known) < 3:
        return []
    titles: list[str] = []
    at = 0
    for match in known:
        titles += [word.strip() for word in _GAP.split(line[at : match.start()]) if word.strip()]
        titles.append(match.lastgroup or "")
        at = match.end()
    return titles + [word.strip() for word in _GAP.split(line[at:]) if word.strip()]


def _cells(titles: Sequence[str], line: str) -> list[str] | None:
    """Split a row as its heading demands: by gaps, or by single blanks where the last column is the name."""
    if not titles:
        return None
    cells = [cell for cell in _GAP.split(line.strip(" \t")) if cell]
    if len(cells) == len(titles):
        return cells
    words = line.split()
    if titles[-1] == "name" and len(words) > len(titles):
        words[len(titles) - 1 :] = [" ".join(words[len(titles) - 1 :])]
    return words if len(words) == len(titles) else None


def _chip(cells: dict[str, str]) -> MappedChip | None:
    npu, chip, name = whole(cells.get("npu")), whole(cells.get("chip")), cells.get("name")
    logic, physical = whole(cells.get("logic")), whole(cells.get("physical"))
    if npu is None or chip is None or (logic is None and physical is None):
        return None
    if name is not None and name.lower() in _OTHER_CHIPS:
        return None
    return MappedChip(npu=npu, chip=chip, logic=logic, physical=physical, name=_without_type(name))


def _without_type(name: str | None) -> str | None:
    """Return the chip's name alone: some families print its type before it, and the table never does."""
    return name.removeprefix("Ascend ") if name is not None else None
