"""Small parsers that return None for anything malformed."""

from __future__ import annotations

import re

_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)
MOST_CPUS = 2**16


def number(text: str | None) -> int | None:
    """Read a whole number of at most 18 digits."""
    stripped = (text or "").strip()
    return int(stripped) if _NUMBER.fullmatch(stripped) else None


def cpu_list(text: str | None) -> tuple[int, ...] | None:
    """Read the kernel's list format, e.g. ``0-3,8``; an empty list is legal, a malformed one is None as a whole."""
    stripped = (text or "").strip()
    if text is None:
        return None
    found: set[int] = set()
    for part in stripped.split(",") if stripped else ():
        first, dash, last = part.partition("-")
        begin = number(first)
        end = number(last) if dash else begin
        if begin is None or end is None or not begin <= end < MOST_CPUS:
            return None
        found.update(range(begin, end + 1))
    return tuple(sorted(found))


def fields(text: str | None) -> dict[str, str]:
    """Read ``key: value`` lines; of a repeated key the first stands."""
    found: dict[str, str] = {}
    for line in (text or "").splitlines():
        key, colon, value = line.partition(":")
        if colon:
            found.setdefault(key.strip(), value.strip())
    return found


def kibibytes(text: str | None) -> int | None:
    """Read ``123 kB`` as bytes."""
    match = re.fullmatch(r"([0-9]{1,15})\s*kB", (text or "").strip(), re.ASCII)
    return int(match[1]) * 1024 if match else None
