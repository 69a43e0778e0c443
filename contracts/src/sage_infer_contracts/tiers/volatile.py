"""What tiers share that keep blocks in memory: which are there, who reads them, and how much room is taken."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, Literal, TypeVar

from ..content import ContentKey
from ..devices import MemoryTierSpec
from ..errors import InvalidRequest
from ..memory import MemoryRegion
from ..store import BlockOutcome, TierUsage
from .transfers import Copy, Crew, Name

_MISSING = BlockOutcome("missing")


M = TypeVar("M")
"""What a tier has for a block's memory: a buffer, a tensor."""


class Block(Generic[M]):
    """A block. ``readers`` keep its memory from being used for another, also once it is ``dropped``."""

    __slots__ = ("checksum", "dropped", "memory", "nbytes", "readers")

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes
        self.memory: M | None = None
        self.checksum = 0
        self.readers = 0
        self.dropped = False


class VolatileTier(ABC, Generic[M]):
    """The bookkeeping of a tier whose blocks go with the process; a subclass copies, and has the memory.

    Memory of dropped blocks is kept as spare for others of the same size; what is claimed, by blocks and by writes
    under way, and what is spare never take more than ``capacity_bytes``. All of it is guarded by ``self._lock``.
    """

    def __init__(self, name: str, crew: Crew, *, capacity_bytes: int) -> None:
        self._name = name
        self._crew = crew
        self._capacity = capacity_bytes
        self._lock = threading.Lock()
        self._blocks: dict[Name, Block[M]] = {}
        self._coming: set[Name] = set()
        self._spare: dict[int, list[M]] = {}
        self._stored_bytes = 0
        self._claimed_bytes = 0
        self._spare_bytes = 0
        self._lost: list[tuple[str, ContentKey, str]] = []

    @abstractmethod
    def _put(self, copy: Copy) -> None:
        """Store one block; called by a thread of the crew."""

    @abstractmethod
    def _get(self, copy: Copy) -> None:
        """Read one block; called by a thread of the crew."""

    @property
    def capabilities(self) -> frozenset[str]:
        """None beyond the contract: what it holds goes with the process."""
        return frozenset()

    def spec(self) -> MemoryTierSpec:
        """Describe the tier; bandwidth is not measured here."""
        free = max(0, self._capacity - self._claimed_bytes)
        return MemoryTierSpec(name=self._name, capacity_bytes=self._capacity, available_bytes=free)

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
        """Return, once each, blocks whose checksum was wrong or that the memory could not give back."""
        with self._lock:
            lost, self._lost = self._lost, []
            return lost

    def usage(self) -> TierUsage:
        """Return what is held."""
        with self._lock:
            return TierUsage(
                blocks=len(self._blocks), bytes=self._stored_bytes, capacity_bytes=self._capacity
            )

    def _begin_put(self, copy: Copy) -> Block[M] | None:
        """Claim room for a block that is coming, or end the copy with why there is none."""
        name, nbytes = copy.name, copy.region.nbytes
        with self._lock:
            refused = self._refused(name, nbytes)
            if refused is None:
                self._claimed_bytes += nbytes
                self._coming.add(name)
                return Block(nbytes)
        copy.end(refused)
        return None

    def _refused(self, name: Name, nbytes: int) -> BlockOutcome | None:
        if name in self._blocks:
            return BlockOutcome("present")
        if name in self._coming:
            return BlockOutcome("rejected", "another thread is storing it")
        return BlockOutcome("rejected", "full") if self._claimed_bytes + nbytes > self._capacity else None

    def _show(self, name: Name, block: Block[M]) -> None:
        """Let a block that is complete be found."""
        with self._lock:
            self._blocks[name] = block
            self._stored_bytes += block.nbytes

    def _end_put(self, name: Name, block: Block[M], *, stored: bool, clean: bool = True) -> None:
        """No longer wait for a block; one that was not stored is given back."""
        with self._lock:
            self._coming.discard(name)
            if not stored:
                self._give_back(block, clean=clean)

    def _begin_get(self, copy: Copy) -> Block[M] | None:
        """Return the block and keep its memory until ``_end_get``, or end the copy."""
        with self._lock:
            block = self._blocks.get(copy.name)
            if block is not None:
                block.readers += 1
        if block is None:
            copy.end(_MISSING)
        return block

    def _end_get(self, block: Block[M], *, clean: bool = True) -> None:
        """Read no more; the last reader of a dropped block gives it back."""
        with self._lock:
            block.readers -= 1
            if block.dropped and not block.readers:
                self._give_back(block, clean=clean)

    def _lose(
        self, name: Name, block: Block[M], outcome: Literal["missing", "corrupt"], reason: str
    ) -> BlockOutcome:
        """Drop a block that cannot be had back, and say so once; another under its name is left alone."""
        with self._lock:
            if self._blocks.get(name) is not block:
                return _MISSING
            self._drop(name)
            self._lost.append((*name, reason))
        return BlockOutcome(outcome, reason)

    def _take_spare(self, nbytes: int) -> M | None:
        """Return memory of a dropped block of this size; spares of other sizes make way for a new one."""
        with self._lock:
            same = self._spare.get(nbytes)
            if same:
                self._spare_bytes -= nbytes
                return same.pop()
            while self._spare_bytes and self._claimed_bytes + self._spare_bytes > self._capacity:
                size = next(size for size, spare in self._spare.items() if spare)
                self._spare[size].pop()
                self._spare_bytes -= size
            return None

    def _forget(self) -> None:
        """Hold nothing: the tier is closed."""
        with self._lock:
            self._blocks.clear()
            self._spare.clear()
            self._stored_bytes = self._claimed_bytes = self._spare_bytes = 0

    # What follows is called with the lock held.

    def _give_back(self, block: Block[M], *, clean: bool = True) -> None:
        """Free a block's room. Its memory is used again only if nothing that was started on it can still run."""
        memory, block.memory = block.memory, None
        if self._crew.closed:
            return
        self._claimed_bytes -= block.nbytes
        if clean and memory is not None:
            self._spare.setdefault(block.nbytes, []).append(memory)
            self._spare_bytes += block.nbytes

    def _drop(self, name: Name) -> bool:
        """Take a block out of sight."""
        block = self._blocks.pop(name, None)
        if block is None:
            return False
        self._stored_bytes -= block.nbytes
        block.dropped = True
        if not block.readers:
            self._give_back(block)
        return True


def require_capacity(capacity_bytes: int) -> None:
    """Raise ``InvalidRequest`` for a tier that could hold nothing."""
    if capacity_bytes < 1:
        raise InvalidRequest("capacity_bytes must be positive", param="capacity_bytes")
