"""Reading what a tool printed: markup and noise taken off, quantities read or null, never guessed (HD-04, HD-06)."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Colours and cursor moves, a title up to its end or the line's, a choice of character set, and two-letter sequences.
_MARKUP = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\r\n]*(?:\x07|\x1b\\)?|[ -/]+[0-~]|[0-Z\\-~])")
# What loggers and collectors put before each line: a time, a container's stream and a level; or else the same source
# before all of them.
_TIME = re.compile(
    r"\[?(?:[0-9]{2,4}[-/][0-9]{2}[-/][0-9]{2,4}[ T]|[A-Z][a-z]{2} [ 0-9][0-9] )?"
    r"[0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]{1,9})?"
    r"(?:Z|[+-][0-9]{2}:?[0-9]{2})?\]?(?: |$)(?:std(?:out|err) [FP](?: |$))?"
    r"(?:\[?(?:TRACE|DEBUG|INFO|WARN|WARNING|ERROR|FATAL)\]?:?(?: |$))?",
    re.ASCII,
)
_LOGGER = re.compile(r".{0,200}(?:: | - |\] )", re.ASCII)
_SOURCE = re.compile(r"(?:> ){1,3}|[A-Za-z][\w.-]{0,62}(?:: | {1,8}\| )|\[[\w./ -]{1,80}\] ", re.ASCII)
_FEWEST = 3
"""With fewer lines, nothing is taken for what stands before each of them."""
_WHOLE = re.compile(r"[0-9]{1,18}", re.ASCII)
_DECIMAL = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,9})?", re.ASCII)
_SIZE = re.compile(
    r"([0-9]{1,15}(?:\.[0-9]{1,6})?)\s*((?:[KMGT]i?)?B|[KMGT]|bytes)", re.ASCII | re.IGNORECASE
)
_BDF = re.compile(
    r"(?:([0-9a-f]{4}|[0-9a-f]{8}):)?([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])", re.ASCII | re.IGNORECASE
)
_BINARY = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


def lines(text: str) -> list[str]:
    """Return the lines of ``text`` without terminal markup, carriage returns and trailing blanks.

    Neither is there what a logger or a collector put before each line: times with levels, or one name of a source.
    What follows the last line break is kept only if there is no line break at all: an output that ends without one was
    cut off, and its last line may be half a line.
    """
    plain = _MARKUP.sub("", text).replace("\ufeff", "").replace("\xa0", " ").replace("\r\n", "\n")
    split = [line.rstrip() for line in plain.replace("\r", "\n").split("\n")]
    return _unprefixed(split[:-1] if len(split) > 1 else split)


def _unprefixed(read: list[str]) -> list[str]:
    """Take off a time before nearly all lines, with what follows it before all of those, or a source before all."""
    filled = [line for line in read if line]
    if len(filled) < _FEWEST:
        return read
    timed = [_TIME.match(line) for line in read]
    if 5 * sum(match is not None for match in timed) >= 4 * len(filled):
        rests = [line[match.end() :] + " " for line, match in zip(read, timed, strict=True) if match]
        logger = _LOGGER.match(_common(min(rests), max(rests)))
        skipped = logger.end() if logger else 0
        return [
            line[match.end() + skipped :] if match else line for line, match in zip(read, timed, strict=True)
        ]
    # A tool's empty first line has lost the blank at the end of what stands before it.
    source = next((match for line in filled[:2] if (match := _SOURCE.match(line))), None)
    if source is None or not _all_begin(filled, source[0]):
        return read
    return [line[source.end() :] for line in read]


def _common(one: str, other: str) -> str:
    """Return what both begin with: of the first and the last in order, what all between begin with too."""
    length = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
    return one if length is None else one[:length]


def _all_begin(filled: Sequence[str], source: str) -> bool:
    return all(line.startswith(source) or line == source.rstrip() for line in filled)


def whole(text: str | None) -> int | None:
    """Read a whole number of at most 18 digits; None for anything else, such as ``N/A``."""
    stripped = (text or "").strip()
    return int(stripped) if _WHOLE.fullmatch(stripped) else None


def decimal(text: str | None, unit: str = "") -> float | None:
    """Read a number with ``unit`` behind it or not, e.g. ``decimal("93.5 W", "W")``."""
    stripped = (text or "").strip().removesuffix(unit).strip()
    return float(stripped) if _DECIMAL.fullmatch(stripped) else None


def percent(text: str | None) -> float | None:
    """Read ``12 %`` or ``12``; None above 100."""
    value = decimal(text, "%")
    return value if value is not None and value <= 100 else None


def size_bytes(text: str | None, *, unit: str | None = None) -> int | None:
    """Read ``65536 MiB`` as bytes. A unit of two letters is binary too: tools write MB and mean MiB.

    ``unit`` is that of a bare number, from the column's title; without one a bare number is None.
    """
    stripped = (text or "").strip()
    match = _SIZE.fullmatch(
        stripped if unit is None or not _DECIMAL.fullmatch(stripped) else f"{stripped} {unit}"
    )
    if match is None:
        return None
    letter = match[2].lower()
    return round(float(match[1]) * _BINARY["" if letter in ("b", "bytes") else letter[0]])


def pci_address(text: str | None) -> str | None:
    """Read a PCI address in any of the tools' forms as ``dddd:bb:dd.f``; one without a domain is in domain 0."""
    match = _BDF.fullmatch((text or "").strip())
    if match is None:
        return None
    domain = (match[1] or "0000").lower()
    if len(domain) == 8:
        if not domain.startswith("0000"):
            return None  # more than four digits are in use, which sysfs could show and DeviceIds cannot
        domain = domain[4:]
    return f"{domain}:{match[2]}:{match[3]}.{match[4]}".lower()
