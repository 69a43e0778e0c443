"""Numbers in text: where they stand, and whether a reported figure can come from those that are shown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_NUMBER = re.compile(r"(?<![\w.-])\d+(?:\.\d+)?(?=(?:[KMGT]i?B|kB|KB|W|C|%)\b|[^\w.:-]|[.,:]?(?:\s|$)|%)")
_IDENTITY = re.compile(
    r"[0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]"  # PCI address
    r"|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"  # UUID
    r"|(?<![\w.])\d+(?:\.\d+){2,}\S*"  # version
    r"|\d{2,4}[-/]\d\d[-/]\d{2,4}|\d\d?:\d\d(?::\d\d)?"  # date and time
)
_UNITS = (1, 512, 1000, 1024, 4096, 65536, 10**6, 2**20, 10**9, 2**30)
_SMALLEST = 16
"""Numbers below are taken for indices and are left alone."""
_MOST_NUMBERS = 400
_LONGEST = 18


def standing_numbers(text: str, spare: Sequence[str] = ()) -> list[re.Match[str]]:
    """Return the numbers that stand for themselves: not part of an address, a version, a date or one of ``spare``."""
    taken = [match.span() for match in _IDENTITY.finditer(text)]
    for word in filter(None, spare):
        taken += [match.span() for match in re.finditer(re.escape(word), text)]
    return [
        match
        for match in _NUMBER.finditer(text)
        if match.end() - match.start() <= _LONGEST
        and not any(begin < match.end() and match.start() < end for begin, end in taken)
    ]


def change_numbers(text: str, spare: Sequence[str], by: str | None) -> str:
    """Return ``text`` with every number from 16 on replaced by ``by``, or made a fifth smaller where that is None."""
    for match in reversed(standing_numbers(text, spare)):
        value = float(match[0])
        if value < _SMALLEST:
            continue
        fresh = (
            by
            if by is not None
            else str(int(match[0]) * 4 // 5)
            if match[0].isdigit()
            else f"{value * 0.8:.2f}"
        )
        text = text[: match.start()] + fresh + text[match.end() :]
    return text


def is_explained(value: float, texts: Iterable[str], spare: Sequence[str]) -> bool:
    """Say whether ``value`` is a number that is shown, in any usual unit, or is made of two that are shown together."""
    if not value:
        return any(float(match[0]) == 0 for text in texts for match in standing_numbers(text, spare))
    for text in texts:
        numbers = {match[0] for match in standing_numbers(text, spare)[:_MOST_NUMBERS]}
        if any(_fits(value, float(number), _ulp(number)) for number in numbers):
            return True
        values = sorted({float(number) for number in numbers if float(number)})
        if _is_combined(value, values):
            return True
    return any(
        value == int(word, 16) for text in texts for word in re.findall(r"\b0x[0-9a-fA-F]{1,15}\b", text)
    )


def _ulp(number: str) -> float:
    _, dot, decimals = number.partition(".")
    return 10.0 ** -len(decimals) if dot else 0.0


def _fits(value: float, number: float, ulp: float) -> bool:
    return any(abs(value - number * unit) <= ulp * unit + 1e-9 * value for unit in _UNITS)


def _is_combined(value: float, numbers: Sequence[float]) -> bool:
    for unit in _UNITS:
        rest = {round(number * unit, 6) for number in numbers}
        if any(round(abs(value - number), 6) in rest or round(value + number, 6) in rest for number in rest):
            return True
    return any(round(value / number, 6) in numbers for number in numbers if number > 1)
