"""Broken tiers in memory; those in a folder are in :mod:`.kv_tier_folder`."""

from __future__ import annotations

import ctypes
import time
import zlib
from collections.abc import Sequence

from sage_infer_contracts.content import ContentKey
from sage_infer_contracts.errors import BackendUnavailable, CapacityExceeded
from sage_infer_contracts.memory import MemoryRegion
from sage_infer_contracts.store import BlockOutcome, TierUsage

from ..kinds.kv_tier.reference import Entry, MemoryTier, Name, read_region, write_region
from .mutant import Ward

MUTANTS = Ward("kv_tier")


@MUTANTS.add("KV-01", "copies whole words, so the last odd bytes are left out")
class WholeWords(MemoryTier):
    def get(self, name: Name, region: MemoryRegion) -> BlockOutcome:
        entry = self.entries.get(name)
        if entry is None or entry.nbytes != region.nbytes:
            return super().get(name, region)
        ctypes.memmove(region.address, entry.data, region.nbytes // 8 * 8)
        return BlockOutcome("hit")


@MUTANTS.add("KV-01", "fills a region that is too small and calls it a hit")
class CutsToFit(MemoryTier):
    def get(self, name: Name, region: MemoryRegion) -> BlockOutcome:
        entry = self.entries.get(name)
        if entry is not None and region.nbytes < entry.nbytes:
            write_region(region, entry.data)
            return BlockOutcome("hit")
        return super().get(name, region)


@MUTANTS.add("KV-01", "a cache in front keeps the bytes of a block that was removed and put anew")
class StaleCache(MemoryTier):
    def __init__(self, *, capacity_bytes: int) -> None:
        super().__init__(capacity_bytes=capacity_bytes)
        self.recent: dict[Name, bytes] = {}

    def get(self, name: Name, region: MemoryRegion) -> BlockOutcome:
        outcome = super().get(name, region)
        if outcome.outcome == "hit":
            write_region(region, self.recent.setdefault(name, self.entries[name].data))
        return outcome


@MUTANTS.add("KV-01", "keeps the caller's memory instead of a copy")
class KeepsTheRegion(MemoryTier):
    def submit_put(
        self, namespace: str, keys: Sequence[ContentKey], blocks: Sequence[MemoryRegion], *, deadline_s: float
    ) -> int:
        handle = super().submit_put(namespace, keys, blocks, deadline_s=deadline_s)
        for key, block, outcome in zip(keys, blocks, self.ended[handle], strict=True):
            if outcome.outcome == "stored":
                self.regions[namespace, key] = block
        return handle

    def __init__(self, *, capacity_bytes: int) -> None:
        super().__init__(capacity_bytes=capacity_bytes)
        self.regions: dict[Name, MemoryRegion] = {}

    def get(self, name: Name, region: MemoryRegion) -> BlockOutcome:
        if name in self.entries:
            self.entries[name].data = read_region(self.regions[name])
        return super().get(name, region)


@MUTANTS.add("KV-02", "a block that does not fit is rejected, and stays where it was written")
class RejectedStays(MemoryTier):
    def put(self, name: Name, data: bytes) -> BlockOutcome:
        outcome = super().put(name, data)
        if outcome.outcome == "rejected" and len(data) <= self.capacity_bytes:
            self.entries[name] = Entry(0, zlib.crc32(data), data)
        return outcome

    def get(self, name: Name, region: MemoryRegion) -> BlockOutcome:
        entry = self.entries.get(name)
        if entry is None or len(entry.data) != region.nbytes:
            return super().get(name, region)
        write_region(region, entry.data)
        return BlockOutcome("hit")


@MUTANTS.add("KV-02", "names a block while its bytes are still being copied")
class NamesTooEarly(MemoryTier):
    def __init__(self, *, capacity_bytes: int) -> None:
        super().__init__(capacity_bytes=capacity_bytes)
        self.named: set[Name] = set()

    def submit_put(
        self, namespace: str, keys: Sequence[ContentKey], blocks: Sequence[MemoryRegion], *, deadline_s: float
    ) -> int:
        self.named |= {(namespace, key) for key in keys}
        time.sleep(0.001)
        handle = super().submit_put(namespace, keys, blocks, deadline_s=deadline_s)
        self.named -= {(namespace, key) for key in keys}
        return handle

    def contains(self, namespace: str, keys: Sequence[ContentKey]) -> list[bool]:
        there = super().contains(namespace, keys)
        return [one or (namespace, key) in self.named for one, key in zip(there, keys, strict=True)]


@MUTANTS.add("KV-03", "off by one: looks whether it was full before, not whether the block fits")
class OneTooMany(MemoryTier):
    def has_room(self, nbytes: int) -> bool:
        return sum(entry.nbytes for entry in self.entries.values()) < self.capacity_bytes


@MUTANTS.add("KV-03", "makes room by itself: the oldest block goes, and is reported")
class EvictsByItself(MemoryTier):
    def has_room(self, nbytes: int) -> bool:
        while self.entries and not super().has_room(nbytes):
            name = next(iter(self.entries))
            self.drop(name)
            self.losses.append((*name, "evicted"))
        return super().has_room(nbytes)


@MUTANTS.add("KV-03", "looks for room, lets go of the lock to copy, and stores")
class LooksThenStores(MemoryTier):
    def submit_put(
        self, namespace: str, keys: Sequence[ContentKey], blocks: Sequence[MemoryRegion], *, deadline_s: float
    ) -> int:
        with self.lock:
            self.check_open(keys, blocks)
            fits = (
                len(keys) == 1
                and (namespace, keys[0]) not in self.entries
                and self.has_room(blocks[0].nbytes)
            )
        if not fits:
            return super().submit_put(namespace, keys, blocks, deadline_s=deadline_s)
        time.sleep(0.0005)
        with self.lock:
            return self.end([self.store((namespace, keys[0]), blocks[0])])

    def store(self, name: Name, block: MemoryRegion) -> BlockOutcome:
        if name in self.entries:
            return BlockOutcome("present")
        data = read_region(block)
        self.entries[name] = Entry(len(data), zlib.crc32(data), data)
        return BlockOutcome("stored")


@MUTANTS.add("KV-03", "a full tier raises, and says nothing of the blocks of the batch that it stored")
class RaisesWhenFull(MemoryTier):
    def put(self, name: Name, data: bytes) -> BlockOutcome:
        outcome = super().put(name, data)
        if outcome.outcome == "rejected":
            raise CapacityExceeded("the tier is full")
        return outcome


@MUTANTS.add("KV-04", "put of a present key says so, and replaces it")
class ReplacesPresent(MemoryTier):
    def put(self, name: Name, data: bytes) -> BlockOutcome:
        outcome = super().put(name, data)
        if outcome.outcome == "present" and self.entries[name].nbytes == len(data):
            self.entries[name] = Entry(len(data), zlib.crc32(data), data)
        return outcome


@MUTANTS.add("KV-04", "put of a present key counts as stored once more")
class StoresAgain(MemoryTier):
    def put(self, name: Name, data: bytes) -> BlockOutcome:
        outcome = super().put(name, data)
        return BlockOutcome("stored") if outcome.outcome == "present" else outcome


@MUTANTS.add("KV-04", "copies in two halves without the lock, and a reader can come in between")
class TwoHalves(MemoryTier):
    def submit_get(
        self, namespace: str, keys: Sequence[ContentKey], into: Sequence[MemoryRegion], *, deadline_s: float
    ) -> int:
        self.check_open(keys, into)
        return self.end([self.get((namespace, key), region) for key, region in zip(keys, into, strict=True)])

    def put(self, name: Name, data: bytes) -> BlockOutcome:
        outcome = super().put(name, data)
        if outcome.outcome == "stored":
            half = len(data) // 2
            self.entries[name].data = data[:half] + bytes(len(data) - half)
            time.sleep(0.001)
            self.entries[name].data = data
        return outcome


@MUTANTS.add("KV-04", "remembers a block that was removed, and says that it is present")
class RemembersRemoved(MemoryTier):
    def __init__(self, *, capacity_bytes: int) -> None:
        super().__init__(capacity_bytes=capacity_bytes)
        self.known: set[Name] = set()

    def put(self, name: Name, data: bytes) -> BlockOutcome:
        if name in self.known:
            return BlockOutcome("present")
        outcome = super().put(name, data)
        if outcome.outcome == "stored":
            self.known.add(name)
        return outcome


@MUTANTS.add("KV-05", "when it is full, a put waits for room, however long that takes")
class WaitsForRoom(MemoryTier):
    def poll(self, handle: int) -> list[BlockOutcome] | None:
        outcomes = self.ended.get(handle, [])
        return None if any(one.reason == "full" for one in outcomes) else super().poll(handle)


@MUTANTS.add("KV-05", "an operation without time left is never looked at again")
class ForgetsTheLate(MemoryTier):
    def __init__(self, *, capacity_bytes: int) -> None:
        super().__init__(capacity_bytes=capacity_bytes)
        self.late: set[int] = set()

    def submit_put(
        self, namespace: str, keys: Sequence[ContentKey], blocks: Sequence[MemoryRegion], *, deadline_s: float
    ) -> int:
        if deadline_s > 0.001:
            return super().submit_put(namespace, keys, blocks, deadline_s=deadline_s)
        handle = self.end([])
        self.late.add(handle)
        return handle

    def poll(self, handle: int) -> list[BlockOutcome] | None:
        return None if handle in self.late else super().poll(handle)


class _Counter(MemoryTier):
    """Keeps a count, as the fast ones do."""

    def __init__(self, *, capacity_bytes: int) -> None:
        super().__init__(capacity_bytes=capacity_bytes)
        self.held_bytes = 0

    def usage(self) -> TierUsage:
        return TierUsage(blocks=len(self.entries), bytes=self.held_bytes, capacity_bytes=self.capacity_bytes)


@MUTANTS.add("KV-06", "a put of a present key is counted, too")
class CountsPresent(_Counter):
    def put(self, name: Name, data: bytes) -> BlockOutcome:
        outcome = super().put(name, data)
        self.held_bytes += len(data) if outcome.outcome != "rejected" else 0
        return outcome

    def drop(self, name: Name) -> bool:
        self.held_bytes -= self.entries[name].nbytes if name in self.entries else 0
        return super().drop(name)


@MUTANTS.add("KV-06", "what is removed stays in the sum")
class RemoveKeepsSum(_Counter):
    def put(self, name: Name, data: bytes) -> BlockOutcome:
        outcome = super().put(name, data)
        self.held_bytes += len(data) if outcome.outcome == "stored" else 0
        return outcome


@MUTANTS.add("KV-06", "remove counts what it was asked for, not what was there")
class RemoveCountsAll(MemoryTier):
    def remove(self, namespace: str, keys: Sequence[ContentKey]) -> int:
        super().remove(namespace, keys)
        return len(keys)


@MUTANTS.add("KV-06", "hands out room from the front and never takes it back")
class NeverReuses(MemoryTier):
    def __init__(self, *, capacity_bytes: int) -> None:
        super().__init__(capacity_bytes=capacity_bytes)
        self.handed_out = 0

    def has_room(self, nbytes: int) -> bool:
        fits = super().has_room(nbytes) and self.handed_out + nbytes <= 4 * self.capacity_bytes
        self.handed_out += nbytes if fits else 0
        return fits


@MUTANTS.add("KV-06", "keeps the bytes of removed blocks for a while that never ends")
class Hoards(MemoryTier):
    def __init__(self, *, capacity_bytes: int) -> None:
        super().__init__(capacity_bytes=capacity_bytes)
        self.attic: list[Entry] = []

    def drop(self, name: Name) -> bool:
        if name in self.entries:
            self.attic.append(self.entries[name])
        return super().drop(name)


@MUTANTS.add("KV-06", "a closed tier answers that nothing is there")
class AnswersClosed(MemoryTier):
    def check_open(self, keys: Sequence[ContentKey], regions: Sequence[MemoryRegion]) -> None:
        if not self.closed:
            super().check_open(keys, regions)


@MUTANTS.add("KV-06", "closing twice is an error")
class ClosesOnce(MemoryTier):
    def close(self) -> None:
        if self.closed:
            raise BackendUnavailable("the tier is closed")
        super().close()


@MUTANTS.add("KV-07", "what its owner removed is reported as lost")
class ReportsRemoved(MemoryTier):
    def remove(self, namespace: str, keys: Sequence[ContentKey]) -> int:
        with self.lock:
            self.losses += [(namespace, key, "removed") for key in keys if (namespace, key) in self.entries]
            return super().remove(namespace, keys)


@MUTANTS.add("KV-08", "looks at the key alone")
class KeyAlone(MemoryTier):
    def put(self, name: Name, data: bytes) -> BlockOutcome:
        return super().put(("", name[1]), data)

    def get(self, name: Name, region: MemoryRegion) -> BlockOutcome:
        return super().get(("", name[1]), region)

    def drop(self, name: Name) -> bool:
        return super().drop(("", name[1]))

    def contains(self, namespace: str, keys: Sequence[ContentKey]) -> list[bool]:
        return super().contains("", keys)


@MUTANTS.add("KV-08", "contains looks at the key alone")
class ContainsKeyAlone(MemoryTier):
    def contains(self, namespace: str, keys: Sequence[ContentKey]) -> list[bool]:
        super().contains(namespace, ())
        there = {key for _, key in self.entries}
        return [key in there for key in keys]


@MUTANTS.add("KV-08", "a removal takes the key from every namespace")
class RemovesEverywhere(MemoryTier):
    def drop(self, name: Name) -> bool:
        others = [other for other in self.entries if other[1] == name[1] and other != name]
        for other in others:
            super().drop(other)
        return super().drop(name)


@MUTANTS.add("KV-09", "copies whole words, and so writes past the end of an odd region")
class PastTheEnd(MemoryTier):
    def get(self, name: Name, region: MemoryRegion) -> BlockOutcome:
        outcome = super().get(name, region)
        if outcome.outcome == "hit":
            data = self.entries[name].data
            ctypes.memmove(region.address, data + bytes(-len(data) % 8), -(-region.nbytes // 8) * 8)
        return outcome


@MUTANTS.add("KV-09", "leaves a checksum in front of the region it fills")
class ChecksumInFront(MemoryTier):
    def get(self, name: Name, region: MemoryRegion) -> BlockOutcome:
        outcome = super().get(name, region)
        if outcome.outcome == "hit":
            ctypes.memmove(region.address - 4, self.entries[name].checksum.to_bytes(4, "little"), 4)
        return outcome


from . import kv_tier_folder as kv_tier_folder  # noqa: E402 - registers its mutants here
