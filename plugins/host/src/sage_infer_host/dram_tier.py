"""The tier ``dram``: blocks in host memory, each with a checksum."""

from __future__ import annotations

import ctypes
import threading
import zlib
from collections.abc import Sequence

from sage_infer_contracts.content import ContentKey
from sage_infer_contracts.devices import MemoryTierSpec
from sage_infer_contracts.errors import InvalidRequest
from sage_infer_contracts.memory import MemoryRegion
from sage_infer_contracts.store import BlockOutcome, TierUsage

from .transfers import CHUNK_BYTES, Copy, Crew, Name

_STORED, _HIT, _MISSING, _PRESENT = (BlockOutcome(it) for it in ("stored", "hit", "missing", "present"))


class _Buffer:
    """Memory of one block. ``readers`` keep it from being used for another."""

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes
        self.memory = bytearray(nbytes)
        self.view = memoryview(self.memory)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        self.checksum = 0
        self.readers = 0
        self.dropped = False


class DramTier:
    """Blocks in buffers that are used again; buffers in use and spare ones never take more than the capacity.

    ``checksum`` off doubles the speed and leaves bit errors to the memory's ECC.
    """

    def __init__(
        self,
        *,
        capacity_bytes: int,
        workers: int = 4,
        checksum: bool = True,
        max_pending: int = 65_536,
        inline_bytes: int = 1 << 20,
    ) -> None:
        if capacity_bytes < 1:
            raise InvalidRequest("capacity_bytes must be positive", param="capacity_bytes")
        self._capacity = capacity_bytes
        self._checksum = checksum
        self._crew = Crew("dram", workers=workers, max_pending=max_pending, inline_bytes=inline_bytes)
        self._lock = threading.Lock()
        self._blocks: dict[Name, _Buffer] = {}
        self._coming: set[Name] = set()
        self._spare: dict[int, list[_Buffer]] = {}
        self._stored_bytes = 0
        self._claimed_bytes = 0
        self._spare_bytes = 0
        self._lost: list[tuple[str, ContentKey, str]] = []

    @property
    def capabilities(self) -> frozenset[str]:
        """None beyond the contract: what it holds goes with the process."""
        return frozenset()

    def spec(self) -> MemoryTierSpec:
        """Describe the tier; bandwidth is not measured here."""
        free = max(0, self._capacity - self._claimed_bytes)
        return MemoryTierSpec(name="dram", capacity_bytes=self._capacity, available_bytes=free)

    def submit_put(
        self, namespace: str, keys: Sequence[ContentKey], blocks: Sequence[MemoryRegion], *, deadline_s: float
    ) -> int:
        """Start storing blocks."""
        return self._crew.submit("rejected", self._put, namespace, keys, blocks, deadline_s)

    def submit_get(
        self, namespace: str, keys: Sequence[ContentKey], into: Sequence[MemoryRegion], *, deadline_s: float
    ) -> int:
        """Start reading blocks."""
        return self._crew.submit("missing", self._get, namespace, keys, into, deadline_s)

    def poll(self, handle: int) -> list[BlockOutcome] | None:
        """Return the outcomes, or None while it runs."""
        return self._crew.poll(handle)

    def contains(self, namespace: str, keys: Sequence[ContentKey]) -> list[bool]:
        """Say which blocks are there."""
        self._crew.check_open()
        with self._lock:
            return [(namespace, key) in self._blocks for key in keys]

    def remove(self, namespace: str, keys: Sequence[ContentKey]) -> int:
        """Drop blocks."""
        self._crew.check_open()
        with self._lock:
            return sum(self._drop((namespace, key)) for key in keys)

    def take_lost(self) -> list[tuple[str, ContentKey, str]]:
        """Return blocks whose checksum was wrong, once each."""
        with self._lock:
            lost, self._lost = self._lost, []
            return lost

    def usage(self) -> TierUsage:
        """Return what is held."""
        with self._lock:
            return TierUsage(
                blocks=len(self._blocks), bytes=self._stored_bytes, capacity_bytes=self._capacity
            )

    def close(self) -> None:
        """Forget every block."""
        self._crew.close()
        with self._lock:
            self._blocks.clear()
            self._spare.clear()
            self._stored_bytes = self._claimed_bytes = self._spare_bytes = 0

    def _put(self, copy: Copy) -> None:
        name, nbytes = copy.name, copy.region.nbytes
        with self._lock:
            taken = name in self._blocks or name in self._coming
            buffer = None if taken else self._claim(nbytes)
            if buffer is not None:
                self._coming.add(name)
            present = name in self._blocks
        if buffer is None:
            refused = "another thread is storing it" if taken else "full"
            copy.end(_PRESENT if present else BlockOutcome("rejected", refused))
            return
        stored = False
        try:
            buffer.checksum = self._carry(copy, buffer, into_region=False)
            stored = copy.end(_STORED, lambda: self._show(name, buffer))
        finally:
            with self._lock:
                self._coming.discard(name)
                if not stored:
                    self._give_back(buffer)

    def _get(self, copy: Copy) -> None:
        with self._lock:
            buffer = self._blocks.get(copy.name)
            if buffer is not None:
                buffer.readers += 1
        if buffer is None:
            copy.end(_MISSING)
            return
        try:
            copy.end(self._read(copy, buffer))
        finally:
            with self._lock:
                buffer.readers -= 1
                if buffer.dropped and not buffer.readers:
                    self._give_back(buffer)

    def _read(self, copy: Copy, buffer: _Buffer) -> BlockOutcome:
        if buffer.nbytes != copy.region.nbytes:
            return BlockOutcome(
                "missing", f"the block has {buffer.nbytes} bytes, the region {copy.region.nbytes}"
            )
        if self._carry(copy, buffer, into_region=True) == buffer.checksum:
            return _HIT
        reason = "the checksum is wrong"
        with self._lock:
            if self._blocks.get(copy.name) is not buffer:
                return _MISSING
            self._drop(copy.name)
            self._lost.append((*copy.name, reason))
        return BlockOutcome("corrupt", reason)

    def _carry(self, copy: Copy, buffer: _Buffer, *, into_region: bool) -> int:
        """Copy a chunk at a time and return the checksum of what the buffer holds, or 0."""
        checksum = 0
        for offset in range(0, buffer.nbytes, CHUNK_BYTES):
            nbytes = min(CHUNK_BYTES, buffer.nbytes - offset)
            copy.move(offset, buffer.address + offset, nbytes, into_region=into_region)
            if self._checksum:
                checksum = zlib.crc32(buffer.view[offset : offset + nbytes], checksum)
        return checksum

    # What follows is called with the lock held, except for _show, which takes it.

    def _show(self, name: Name, buffer: _Buffer) -> None:
        with self._lock:
            self._blocks[name] = buffer
            self._stored_bytes += buffer.nbytes

    def _claim(self, nbytes: int) -> _Buffer | None:
        """Return a buffer, or None when there is no room; spare buffers of other sizes make way."""
        if self._claimed_bytes + nbytes > self._capacity:
            return None
        self._claimed_bytes += nbytes
        same = self._spare.get(nbytes)
        if same:
            self._spare_bytes -= nbytes
            buffer = same.pop()
            buffer.dropped = False
            return buffer
        while self._spare_bytes and self._claimed_bytes + self._spare_bytes > self._capacity:
            size = next(size for size, spare in self._spare.items() if spare)
            self._spare[size].pop()
            self._spare_bytes -= size
        return _Buffer(nbytes)

    def _give_back(self, buffer: _Buffer) -> None:
        self._claimed_bytes -= buffer.nbytes
        if not self._crew.closed:
            self._spare.setdefault(buffer.nbytes, []).append(buffer)
            self._spare_bytes += buffer.nbytes

    def _drop(self, name: Name) -> bool:
        buffer = self._blocks.pop(name, None)
        if buffer is None:
            return False
        self._stored_bytes -= buffer.nbytes
        buffer.dropped = True
        if not buffer.readers:
            self._give_back(buffer)
        return True
