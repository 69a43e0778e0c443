"""Rows of tables that are ruled with ``|``."""

from __future__ import annotations

from sage_infer_contracts.detecting.text import lines

from .records import last_fragment

_RULE = set("+-=| ")


def rows(text: str, *, torn_too: bool = False) -> list[list[str]]:
    """Return the cells between bars of each row, without blanks around them.

    What stands behind the last bar is no cell: of a row that is cut, a piece; in published output, dots for columns
    that were left out. With ``torn_too`` the row that the output breaks off in is there as well, as far as it goes.
    """
    found = []
    for line in (*lines(text), *(last_fragment(text) if torn_too else ())):
        stripped = line.strip()
        if stripped.startswith("|") and not set(stripped) <= _RULE:
            cells = [cell.strip() for cell in stripped.split("|")[1:]]
            found.append(cells if torn_too and not stripped.endswith("|") and len(cells) == 1 else cells[:-1])
    return [cells for cells in found if cells]
