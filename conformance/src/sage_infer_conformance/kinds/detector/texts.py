"""What goes wrong with text on its way from a tool to a parser. Pure functions of the text."""

from __future__ import annotations

import re

from .figures import standing_numbers

_ANSI = ("\x1b[1;32m", "\x1b[0m")
_ARABIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
RESTYLINGS = (
    "colour",
    "crlf",
    "carriage returns",
    "byte order mark",
    "odd bytes",
    "null characters",
    "blank lines",
    "indented",
    "trailing spaces",
    "line separators",
    "tabs",
    "no last newline",
)
WRAP = "wrapped"


def cut(text: str, at_byte: int) -> str:
    """Return the first ``at_byte`` bytes; a character that is cut apart becomes a replacement character."""
    return text.encode()[:at_byte].decode(errors="replace")


def insert_line(text: str, line: int, extra: str) -> str:
    """Return ``text`` with a line more."""
    lines = text.split("\n")
    at = line % len(lines)
    return "\n".join([*lines[:at], extra, *lines[at:]])


def restyle(text: str, how: str, at: int = 0) -> str:
    """Return ``text`` as another terminal, pipe or encoding would hand it over."""
    lines = text.split("\n")
    if how == "colour":
        return "\n".join(f"{_ANSI[0]}{line}{_ANSI[1]}" if line else line for line in lines)
    if how == "crlf":
        return text.replace("\n", "\r\n")
    if how == "carriage returns":
        return "\r".join(["reading 10%", "reading 100%", ""]) + text
    if how == "byte order mark":
        return "\ufeff" + text
    if how in ("odd bytes", "null characters", "line separators"):
        odd = {"odd bytes": "\ufffd\ufffd", "null characters": "\x00", "line separators": "\u2028\x85\x0b"}[
            how
        ]
        ends = [index for index, line in enumerate(lines)]
        row = ends[at % len(ends)]
        return "\n".join([*lines[:row], lines[row] + odd, *lines[row + 1 :]])
    if how == "blank lines":
        return "\n\n".join(lines)
    if how == "indented":
        return "\n".join(f"    {line}" for line in lines)
    if how == "trailing spaces":
        return "\n".join(f"{line}   " for line in lines)
    if how == "tabs":
        return re.sub(r" {4,}", "\t", text)
    return text.rstrip("\n")


def wrap(text: str, width: int) -> str:
    """Return ``text`` as a terminal of ``width`` columns breaks it."""
    wrapped = (
        line[at : at + width] for line in text.split("\n") for at in range(0, max(1, len(line)), width)
    )
    return "\n".join(wrapped)


def swell(text: str, how: str, kib: int) -> str:
    """Return ``text`` with ``kib`` more of what does not matter."""
    size = kib * 1024
    if how == "long line":
        return text + "x" * size + "\n"
    if how == "spaces":
        return text + " " * size + "|\n"
    if how == "digits":
        return text + "9" * size + "\n"
    line = "[info] supervisor: nothing to do, polled again after 250 ms\n"
    return line * (size // len(line) + 1) + text


def localise(text: str, how: str, spare: tuple[str, ...] = ()) -> str:
    """Return ``text`` with numbers as other places write them; ``spare`` are words that stay."""
    changed = text
    for number in reversed(standing_numbers(text, spare)):
        written = text[number.start() : number.end()]
        whole, dot, rest = written.partition(".")
        if how == "digits":
            fresh = written.translate(_ARABIC)
        elif how == "decimal comma":
            fresh = f"{whole},{rest}" if dot else written
        elif len(whole) > 3:
            separator = {"thousands": ",", "thousands point": ".", "thousands space": "\u202f"}[how]
            fresh = f"{int(whole):,}".replace(",", separator) + dot + rest
        else:
            fresh = written
        changed = changed[: number.start()] + fresh + changed[number.end() :]
    return changed


def drop_lines(text: str, tokens: tuple[str, ...]) -> str:
    """Return ``text`` without the lines that name any of ``tokens``."""
    lowered = [token.lower() for token in tokens]
    return "\n".join(line for line in text.split("\n") if not any(token in line.lower() for token in lowered))


def blank_words(text: str, words: tuple[str, ...], by: str) -> str:
    """Return ``text`` with each of ``words`` replaced."""
    for word in sorted(words, key=len, reverse=True):
        text = text.replace(word, by)
    return text
