"""Lines of a key, a colon and a value, as ``npu-smi info -l`` and ``-t TYPE`` print them."""

from __future__ import annotations

from sage_infer_contracts.detecting.text import lines

_LONGEST = 1000
_NOT_GIVEN = frozenset({"", "na", "n/a", "-", "unknown", "not support", "[not supported]"})
Fields = list[tuple[str, str]]
"""Keys in lower case, with their values, in order."""


def answers(text: str) -> list[Fields]:
    """Return the lines as one answer for each ``NPU ID``; what stands before the first is one without.

    The tool writes a blank before the colon, other programs none.
    """
    found: list[Fields] = [[]]
    for line in lines(text):
        key, colon, value = line[:_LONGEST].partition(":")
        if colon and key.strip() and key[-1] in " \t":
            name = " ".join(key.lower().split())
            if name == "npu id":
                found.append([])
            found[-1].append((name, value.strip()))
    return [answer for answer in found if answer]


def first_of_each(answer: Fields) -> dict[str, str]:
    """Return the first value of each key."""
    return dict(reversed(answer))


def given(value: str | None) -> str | None:
    """Return a value; None for the words that stand where there is none."""
    return None if value is None or value.strip().lower() in _NOT_GIVEN else value.strip()
