"""Regions of memory for one operation, with guards between them that nobody may write to."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

from sage_infer_contracts.memory import MemoryRegion

_ALIGN_BYTES = 64
_GUARD_BYTES = 4 * _ALIGN_BYTES
_GUARD = b"\xa5"
_UNTOUCHED = b"\x5a"
"""What a region is filled with before a get, and after its outcome where late writes are looked for."""


class Regions:
    """Equal-sized regions in one piece of memory. Must live as long as anybody may write to it."""

    def __init__(self, count: int, nbytes: int) -> None:
        self.nbytes = nbytes
        stride = _GUARD_BYTES + -(-nbytes // _ALIGN_BYTES) * _ALIGN_BYTES
        self._memory = bytearray(_GUARD * (stride * count + _GUARD_BYTES + _ALIGN_BYTES))
        self._pin = (ctypes.c_char * len(self._memory)).from_buffer(self._memory)
        base = ctypes.addressof(self._pin)
        first = -base % _ALIGN_BYTES + _GUARD_BYTES
        self._offsets = [first + number * stride for number in range(count)]
        self.regions = [
            MemoryRegion(device="cpu", address=base + offset, nbytes=nbytes) for offset in self._offsets
        ]
        self.fill()

    @classmethod
    def holding(cls, contents: Sequence[bytes]) -> Regions:
        """Return regions that hold ``contents``."""
        made = cls(len(contents), len(contents[0]))
        for offset, data in zip(made._offsets, contents, strict=True):
            made._memory[offset : offset + made.nbytes] = data
        return made

    def read(self, number: int) -> bytes:
        """Return what a region holds."""
        offset = self._offsets[number]
        return bytes(self._memory[offset : offset + self.nbytes])

    def fill(self) -> None:
        """Overwrite every region."""
        for offset in self._offsets:
            self._memory[offset : offset + self.nbytes] = _UNTOUCHED * self.nbytes

    def changed(self) -> int:
        """Return how many regions no longer hold what :meth:`fill` put there."""
        return sum(self.read(number) != _UNTOUCHED * self.nbytes for number in range(len(self._offsets)))

    def outside(self) -> int:
        """Return how many of the gaps around the regions were written to."""
        edges = [0, *(offset + self.nbytes for offset in self._offsets)]
        starts = [*self._offsets, len(self._memory)]
        return sum(
            self._memory[edge:start] != _GUARD * (start - edge)
            for edge, start in zip(edges, starts, strict=True)
        )
