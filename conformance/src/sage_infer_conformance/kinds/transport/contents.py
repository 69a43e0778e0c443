"""What memories hold: patterns that can be made again from their names, and told apart by any few bytes."""

from __future__ import annotations

import random
import zlib
from array import array
from collections.abc import Mapping
from functools import lru_cache

import attrs

from .steps import Run, Sight

_PAGE_BYTES = 4096
_WINDOW_BYTES = 16
_LEAST_BYTES = 8
_RUNS = 6


@lru_cache(maxsize=16)
def pattern(content: str, nbytes: int) -> bytes:
    """Return the ``nbytes`` that are called ``content``: a random page over and over, combined with a counter."""
    noise = random.Random(content)
    page = noise.randbytes(_PAGE_BYTES)
    pages = -(-nbytes // _PAGE_BYTES)
    first, stride = noise.getrandbits(60), noise.getrandbits(32) | 1
    words = pages * _PAGE_BYTES // 8
    counter = array("Q", range(first, first + words * stride, stride)).tobytes()
    mixed = int.from_bytes(page * pages, "little") ^ int.from_bytes(counter, "little")
    return mixed.to_bytes(pages * _PAGE_BYTES, "little")[:nbytes]


def digest(data: bytes) -> str:
    """Return a short digest; nobody here wants to forge one."""
    return f"{zlib.crc32(data):08x}"


def sight_of(data: bytes, known: Mapping[str, int]) -> Sight:
    """Describe ``data``: its digest and the first stretches of known contents in it."""
    return Sight(digest=digest(data), runs=_runs(data, known))


def _runs(data: bytes, known: Mapping[str, int]) -> tuple[Run, ...]:
    runs: list[Run] = []
    at = 0
    while at < len(data) and len(runs) < _RUNS:
        found = _origin(data[at : at + _WINDOW_BYTES], known)
        if found is None:
            runs.append(Run(content=None, nbytes=len(data) - at))
            break
        content, offset = found
        whole = pattern(content, known[content])
        same = _same_bytes(data[at:], whole[offset : offset + len(data) - at])
        runs.append(Run(content=content, offset=offset, nbytes=same))
        at += same
    return tuple(runs)


def _origin(window: bytes, known: Mapping[str, int]) -> tuple[str, int] | None:
    if len(window) < _LEAST_BYTES:
        return None
    for content, nbytes in known.items():
        offset = pattern(content, nbytes).find(window)
        if offset >= 0:
            return content, offset
    return None


def _same_bytes(one: bytes, other: bytes) -> int:
    """Return for how many bytes from the start both are equal."""
    low, high = 0, min(len(one), len(other))
    if one[:high] == other[:high]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle
    return low


@attrs.frozen(slots=True)
class Segment:
    """A stretch of a memory, what it must hold, and the clause that says so. ``content`` None: nobody knows.

    ``certain``: that it is known does not depend on how a race ended, so it is known in every run.
    """

    start: int
    end: int
    content: str | None
    offset: int
    clause: str
    transfer: str | None = None
    certain: bool = True

    def cut(self, start: int, end: int) -> Segment:
        """Return the part of it in ``[start, end)``."""
        if start <= self.start and self.end <= end:
            return self
        low, high = max(start, self.start), min(end, self.end)
        return attrs.evolve(self, start=low, end=high, offset=self.offset + low - self.start)


@attrs.define(slots=True)
class Canvas:
    """What one memory must hold. Segments are in order and cover it."""

    segments: list[Segment]

    @classmethod
    def filled(cls, content: str, nbytes: int, clause: str) -> Canvas:
        """Return the canvas of a memory that holds one pattern."""
        return cls([Segment(0, nbytes, content, 0, clause)])

    def within(self, start: int, end: int) -> list[Segment]:
        """Return the segments that cover ``[start, end)``, cut to it."""
        return [one.cut(start, end) for one in self.segments if one.start < end and one.end > start]

    def paint(self, new: Segment) -> None:
        """Put a segment over what is there."""
        kept = [*self.within(0, new.start), new, *self.within(new.end, self.segments[-1].end)]
        self.segments = [one for one in kept if one.end > one.start]

    def blame(self, start: int, end: int, clause: str) -> None:
        """Let ``[start, end)`` be watched by ``clause``: it must stay as it is."""
        for one in self.within(start, end):
            self.paint(attrs.evolve(one, clause=clause))
