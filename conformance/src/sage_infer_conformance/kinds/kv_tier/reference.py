"""A small correct tier in memory, to hold the rules against, and for broken ones to be made from."""

from __future__ import annotations

import ctypes
import itertools
import threading
import zlib
from collections.abc import Sequence

import attrs

from sage_infer_contracts.content import ContentKey
from sage_infer_contracts.devices import MemoryTierSpec
from sage_infer_contracts.errors import BackendUnavailable, InvalidRequest
from sage_infer_contracts.memory import MemoryRegion
from sage_infer_contracts.store import BlockOutcome, TierUsage

Name = tuple[str, ContentKey]
Loss = tuple[str, ContentKey, str]


def read_region(region: MemoryRegion) -> bytes:
    """Return what a region of host memory holds."""
    return ctypes.string_at(region.address, region.nbytes)


def write_region(region: MemoryRegion, data: bytes) -> None:
    """Fill a region of host memory with as many bytes as it has."""
    ctypes.memmove(region.address, data, region.nbytes)


@attrs.define(slots=True)
class Entry:
    """A stored block."""

    nbytes: int
    checksum: int
    data: bytes = b""


class MemoryTier:
    """Blocks in a dictionary, under one lock. Everything is done in submit; poll hands the outcomes over."""

    def __init__(self, *, capacity_bytes: int) -> None:
        self.capacity_bytes = capacity_bytes
        self.lock = threading.RLock()
        self.entries: dict[Name, Entry] = {}
        self.losses: list[Loss] = []
        self.ended: dict[int, list[BlockOutcome]] = {}
        self.handles = itertools.count(1)
        self.closed = False

    @property
    def capabilities(self) -> frozenset[str]:
        """What it can do."""
        return frozenset()

    def spec(self) -> MemoryTierSpec:
        """Describe the tier."""
        return MemoryTierSpec(name="reference", capacity_bytes=self.capacity_bytes)

    def submit_put(
        self, namespace: str, keys: Sequence[ContentKey], blocks: Sequence[MemoryRegion], *, deadline_s: float
    ) -> int:
        """Store blocks."""
        with self.lock:
            self.check_open(keys, blocks)
            pairs = zip(keys, blocks, strict=True)
            return self.end([self.put((namespace, key), read_region(block)) for key, block in pairs])

    def submit_get(
        self, namespace: str, keys: Sequence[ContentKey], into: Sequence[MemoryRegion], *, deadline_s: float
    ) -> int:
        """Read blocks."""
        with self.lock:
            self.check_open(keys, into)
            pairs = zip(keys, into, strict=True)
            return self.end([self.get((namespace, key), region) for key, region in pairs])

    def poll(self, handle: int) -> list[BlockOutcome] | None:
        """Hand the outcomes over."""
        with self.lock:
            if handle not in self.ended:
                raise InvalidRequest(f"no operation has the handle {handle}", param="handle")
            return self.ended.pop(handle)

    def contains(self, namespace: str, keys: Sequence[ContentKey]) -> list[bool]:
        """Say which blocks are there."""
        with self.lock:
            self.check_open((), ())
            return [(namespace, key) in self.entries for key in keys]

    def remove(self, namespace: str, keys: Sequence[ContentKey]) -> int:
        """Drop blocks."""
        with self.lock:
            self.check_open((), ())
            return sum(self.drop((namespace, key)) for key in keys)

    def take_lost(self) -> list[Loss]:
        """Hand the losses over."""
        with self.lock:
            losses, self.losses = self.losses, []
            return losses

    def usage(self) -> TierUsage:
        """Add up."""
        with self.lock:
            held = sum(entry.nbytes for entry in self.entries.values())
            return TierUsage(blocks=len(self.entries), bytes=held, capacity_bytes=self.capacity_bytes)

    def close(self) -> None:
        """Forget everything."""
        with self.lock:
            self.closed = True
            self.entries.clear()

    def check_open(self, keys: Sequence[ContentKey], regions: Sequence[MemoryRegion]) -> None:
        """Refuse what cannot be done."""
        if self.closed:
            raise BackendUnavailable("the tier is closed")
        if len(keys) != len(regions):
            raise InvalidRequest(f"{len(keys)} keys and {len(regions)} regions", param="keys")

    def end(self, outcomes: list[BlockOutcome]) -> int:
        """Keep outcomes for poll."""
        handle = next(self.handles)
        self.ended[handle] = outcomes
        return handle

    def has_room(self, nbytes: int) -> bool:
        """Say whether a block fits."""
        return sum(entry.nbytes for entry in self.entries.values()) + nbytes <= self.capacity_bytes

    def put(self, name: Name, data: bytes) -> BlockOutcome:
        """Store one block."""
        if name in self.entries:
            return BlockOutcome("present")
        if not self.has_room(len(data)):
            return BlockOutcome("rejected", "full")
        self.entries[name] = Entry(len(data), zlib.crc32(data), data)
        return BlockOutcome("stored")

    def get(self, name: Name, region: MemoryRegion) -> BlockOutcome:
        """Read one block."""
        entry = self.entries.get(name)
        if entry is None:
            return BlockOutcome("missing")
        if entry.nbytes != region.nbytes:
            return BlockOutcome("missing", f"the block has {entry.nbytes} bytes, the region {region.nbytes}")
        write_region(region, entry.data)
        return BlockOutcome("hit")

    def drop(self, name: Name) -> bool:
        """Forget one block; True if it was there."""
        return self.entries.pop(name, None) is not None
