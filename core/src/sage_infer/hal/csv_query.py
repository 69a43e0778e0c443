"""A capture of comma-separated values answers for a tool asked for other columns in another order.

Tools that take a list of column names (``--query-x=a,b --format=csv``) print a header with those names and units, such
as ``memory.total [MiB]``. So the header says what a capture holds, whatever is known of the command that made it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from .invocation import Invocation

NOT_CAPTURED = "[N/A]"
"""Printed for a column that the capture does not have: nothing is known of it."""
_TITLE = re.compile(r"[A-Za-z_][\w.]*(?: \[[^\],]{1,12}\])?", re.ASCII)
_QUERY = re.compile(r"--?query[\w-]*", re.ASCII)
_WORDS_OF_FORMAT = re.compile(r"--?format")


def answer_query(text: str, asked: Invocation, said: Sequence[Invocation] = ()) -> str | None:
    """Return the columns that ``asked`` names out of ``text``; None if it asks for none, or ``text`` has none of them.

    Without a header in ``text``, the columns are those that one of the commands ``said`` to have made it names.
    """
    names = _queried(asked)
    if not names:
        return None
    lines = text.splitlines(keepends=True)
    at, titles = _header(lines, names)
    if titles is None:
        bare = [_queried(one) for one in said if "noheader" in _style(one)]
        titles = next((own for own in bare if set(own) & set(names)), None)
        at = -1
    if titles is None:
        return None
    columns = [_column(titles, name) for name in names]
    style = _style(asked)
    rows = [_row(line, columns, titles, "nounits" in style) for line in lines[at + 1 :]]
    header = ", ".join(
        name if place is None else titles[place] for name, place in zip(names, columns, strict=True)
    )
    return "".join(
        [*([] if "noheader" in style else [header + "\n"]), *(row for row in rows if row is not None)]
    )


def _queried(asked: Invocation) -> list[str]:
    """Return the column names asked for."""
    lists = [option[1:] for option in asked.options if _QUERY.fullmatch(option[0])]
    return [name.strip() for values in lists for part in values for name in part.split(",") if name.strip()]


def _style(asked: Invocation) -> set[str]:
    formats = [option[1:] for option in asked.options if _WORDS_OF_FORMAT.fullmatch(option[0])]
    return {word.strip() for values in formats for part in values for word in part.split(",")}


def _header(lines: Sequence[str], names: Sequence[str]) -> tuple[int, list[str] | None]:
    for at, line in enumerate(lines):
        titles = [cell.strip() for cell in line.lstrip("\ufeff").split(",")]
        if len(titles) > 1 and all(_TITLE.fullmatch(title) for title in titles):
            bare = {title.split(" ")[0] for title in titles}
            if bare & set(names):
                return at, titles
    return 0, None


def _column(titles: Sequence[str], name: str) -> int | None:
    return next((place for place, title in enumerate(titles) if title.split(" ")[0] == name), None)


def _row(line: str, columns: Sequence[int | None], titles: Sequence[str], without_units: bool) -> str | None:
    """Return the row's cells in the order asked for; None for half a row. What the tool says in words stays."""
    cells = [cell.strip() for cell in line.split(",")]
    if len(cells) == 1 and " " in line.strip():
        return line
    if len(cells) != len(titles) or not line.strip():
        return None
    chosen = [
        NOT_CAPTURED if place is None else _cell(cells[place], titles[place], without_units)
        for place in columns
    ]
    return ", ".join(chosen) + ("\n" if line.endswith(("\n", "\r")) else "")


def _cell(cell: str, title: str, without_units: bool) -> str:
    unit = title.partition(" [")[2].removesuffix("]")
    return cell.removesuffix(unit).strip() if without_units and unit else cell
