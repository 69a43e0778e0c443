"""Lines that a terminal or a log broke at a fixed width, put together again."""

from __future__ import annotations

from collections import Counter

from sage_infer_contracts.detecting.text import lines

_LONGEST = 1000
"""Characters of the longest line that can be a row of a table."""
_END = "\x00"


def unwrapped(text: str) -> list[str]:
    """Return ``text`` as lines, where those of the full width are continued by the next one.

    The width is the largest that several lines have. Meant for text in which nothing could be read as it stands: in
    one that was not wrapped, all rows of a table have the full width and run together.
    """
    # A mark at each line's end keeps the blanks there, which tell a full line from a short one.
    marked = lines(text.replace("\r\n", "\n").replace("\n", f"{_END}\n"))
    whole = [line.removesuffix(_END) for line in marked if line not in ("", _END)]
    lengths = Counter(len(line) for line in whole if len(line) <= _LONGEST)
    width = max((length for length, number in lengths.items() if number > 1), default=0)
    joined: list[str] = []
    begun = ""
    for line in whole:
        begun += line
        if len(line) != width or len(begun) > _LONGEST:
            joined.append(begun.rstrip())
            begun = ""
    return joined
