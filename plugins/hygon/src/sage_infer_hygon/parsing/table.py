"""The tables of ``hy-smi`` alone and of ``--showhw``: a line of titles, then a row for each card."""

from __future__ import annotations

import re

from sage_infer_contracts.detecting.text import lines

from .rows import Listing, RowCollector, label_of

_INDEX = re.compile(r"[0-9]{1,4}", re.ASCII)
_WIDE = re.compile(r"\s{2,}|\t")
_TITLES = frozenset(
    {
        "temp",
        "avgpwr",
        "perf",
        "pwrcap",
        "vram%",
        "hcu%",
        "dcu%",
        "gpu%",
        "dec%",
        "enc%",
        "fan",
        "mode",
        "sclk",
        "mclk",
        "did",
        "bus",
        "vbios",
        "guid",
        "node",
    }
)


def parse_table(text: str) -> Listing:
    """Read the tables of ``hy-smi`` and ``--showhw``: a line of titles of which one is HCU, DCU or GPU, then rows.

    A row counts if it has a cell for each title and a whole number under the label.
    """
    rows = RowCollector()
    titles: list[str] = []
    for line in lines(text):
        cells = _cells(line)
        if _is_heading(cells):
            titles = cells
        elif titles:
            _add_row(rows, titles, cells if len(cells) == len(titles) else line.split())
    return rows.listing()


def _add_row(rows: RowCollector, titles: list[str], cells: list[str]) -> None:
    if len(cells) != len(titles):
        return
    at = next(number for number, title in enumerate(titles) if title.upper() in ("HCU", "DCU", "GPU"))
    if not _INDEX.fullmatch(cells[at]) or int(cells[at]) in rows.found:
        return
    for title, cell in zip(titles, cells, strict=True):
        rows.add(int(cells[at]), label_of(titles[at]), title, cell)


def _cells(line: str) -> list[str]:
    return [cell for cell in _WIDE.split(line.strip()) if cell]


def _is_heading(cells: list[str]) -> bool:
    labels = sum(cell.upper() in ("HCU", "DCU", "GPU") for cell in cells)
    return labels == 1 and len(_TITLES & {cell.lower() for cell in cells}) >= 2
