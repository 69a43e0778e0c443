"""Changes to the columns of a table that a tool printed: ruled with ``|``, separated by commas, or by wide gaps."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

import attrs

_RULE = re.compile(r"^[\s+|=-]*$")
_NUMBER = re.compile(r"(?<![\w.])\d")
Separators = Callable[[str], list[re.Match[str]]]


def _found(pattern: str) -> Separators:
    compiled = re.compile(pattern)
    return lambda line: list(compiled.finditer(line))


_PIPES, _COMMAS, _GAPS = _found(r"\|"), _found(r","), _found(r"(?<=\S)\s{2,}(?=\S)")


@attrs.frozen(slots=True)
class Table:
    """The lines of a text, and those among them that form its largest table. ``cells`` are between ``separators``."""

    lines: tuple[str, ...]
    rows: tuple[int, ...]
    columns: int
    separators: Separators

    @property
    def heading(self) -> int | None:
        """The first row, where it names columns: no numbers in it, and numbers in a row below."""
        texts = [self.lines[row] for row in self.rows if not _RULE.match(self.lines[row])]
        if len(texts) < 2 or _NUMBER.search(texts[0]) or not any(map(_NUMBER.search, texts[1:])):
            return None
        return next(row for row in self.rows if self.lines[row] is texts[0])

    def map(self, change: Callable[[list[str]], list[str]]) -> str:
        """Return the text with the cells of each row changed. Cells and separators alternate in what is changed."""
        lines = list(self.lines)
        for row in self.rows:
            lines[row] = "".join(change(self._split(lines[row])))
        return "\n".join(lines)

    def _split(self, line: str) -> list[str]:
        parts: list[str] = []
        at = 0
        for match in self.separators(line):
            parts += [line[at : match.start()], match[0]]
            at = match.end()
        return [*parts, line[at:]]


def find_table(text: str) -> Table | None:
    """Return the largest table in ``text``, of at least two rows and columns."""
    lines = tuple(text.split("\n"))
    for separators in (_PIPES, _COMMAS, _GAPS):
        counts = Counter(number for line in lines if (number := len(separators(line))))
        if not counts:
            continue
        number, rows = max(counts.items(), key=lambda item: (item[1] * item[0], item[0]))
        if rows >= 2:
            chosen = tuple(row for row, line in enumerate(lines) if len(separators(line)) == number)
            return Table(lines, chosen, number + 1, separators)
    return None


def widen(text: str, column: int, by: int) -> str:
    """Return ``text`` with one column ``by`` characters wider, rules included."""
    table = find_table(text)
    if table is None:
        return text

    def wider(parts: list[str]) -> list[str]:
        at = 2 * (column % (len(parts) // 2 + 1))
        fill = parts[at][-1] if parts[at] and _RULE.match(parts[at]) else " "
        return [*parts[:at], parts[at] + fill * by, *parts[at + 1 :]]

    return table.map(wider)


def rename(text: str, column: int, title: str) -> str:
    """Return ``text`` with another title over one column; unchanged where no row names the columns."""
    table = find_table(text)
    if table is None or table.heading is None:
        return text
    parts = table._split(table.lines[table.heading])
    at = 2 * (column % table.columns)
    old = parts[at].strip()
    if not old:
        return text
    parts[at] = parts[at].replace(old, title)
    lines = list(table.lines)
    lines[table.heading] = "".join(parts)
    return "\n".join(lines)


def without(text: str, column: int) -> str:
    """Return ``text`` without one column; unchanged where no row names the columns."""
    table = find_table(text)
    if table is None or table.heading is None:
        return text

    def fewer(parts: list[str]) -> list[str]:
        at = 2 * (column % table.columns)
        return parts[: at - 1] + parts[at + 1 :] if at else parts[2:]

    return table.map(fewer)


def swapped(text: str, column: int, other: int) -> str:
    """Return ``text`` with two columns in each other's place; unchanged where no row names the columns."""
    table = find_table(text)
    if table is None or table.heading is None:
        return text

    def changed(parts: list[str]) -> list[str]:
        one, two = 2 * (column % table.columns), 2 * (other % table.columns)
        parts = list(parts)
        parts[one], parts[two] = parts[two], parts[one]
        return parts

    return table.map(changed)


def with_column(text: str, column: int, title: str, cell: str) -> str:
    """Return ``text`` with one more column; unchanged where no row names the columns."""
    table = find_table(text)
    if table is None or table.heading is None:
        return text
    heading = table.lines[table.heading]
    separator = table._split(heading)[1]

    def more(parts: list[str]) -> list[str]:
        at = 2 * (column % table.columns)
        line = "".join(parts)
        ruled = bool(_RULE.match(line))
        fresh = "-" * len(title) if ruled else title if line == heading else cell
        return [*parts[:at], f" {fresh} ", separator, *parts[at:]]

    return table.map(more)
