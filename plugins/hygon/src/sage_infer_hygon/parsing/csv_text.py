"""What ``--csv`` prints: a line of titles that begins with ``device``, then a line ``card0,...`` for each card."""

from __future__ import annotations

import csv
import re

from sage_infer_contracts.detecting.text import lines

from .rows import Listing, RowCollector

_CARD = re.compile(r"card([0-9]{1,4})", re.ASCII)


def parse_csv(text: str) -> Listing:
    """Read ``--csv``. A row counts if it has a cell for each title; titles are the names that ``--json`` has too."""
    rows = RowCollector()
    titles: list[str] = []
    for line in lines(text):
        cells = _cells(line)
        if cells[0].lower() == "device" and len(cells) > 1:
            titles = cells
        elif titles and len(cells) == len(titles) and (card := _CARD.fullmatch(cells[0])):
            for title, cell in zip(titles[1:], cells[1:], strict=True):
                rows.add(int(card[1]), None, title, cell)
    return rows.listing()


def _cells(line: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line]), [])] or [""]
    except csv.Error:
        return [""]
