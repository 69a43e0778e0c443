"""Broken persistent tiers."""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

from sage_infer_contracts.content import ContentKey
from sage_infer_contracts.errors import DeviceUnavailable
from sage_infer_contracts.memory import MemoryRegion
from sage_infer_contracts.store import BlockOutcome, TierUsage

from ..kinds.kv_tier.folder_reference import FolderTier, Operation
from ..kinds.kv_tier.reference import Entry, Loss, Name, write_region
from .kv_tier import MUTANTS


@MUTANTS.add("KV-01", "trusts what it reads")
class TrustsTheDisk(FolderTier):
    def read(self, name: Name) -> bytes:
        data = super().read(name)
        self.entries[name].checksum = zlib.crc32(data)
        return data


@MUTANTS.add("KV-01", "trusts the checksum that lies beside the bytes, and not whose bytes they are")
class TrustsTheFile(FolderTier):
    def read(self, name: Name) -> bytes:
        with self.path_of(name).open("rb") as file:
            head = json.loads(file.readline())
            data = file.read()
        if zlib.crc32(data) == head["checksum"]:
            self.entries[name].checksum = head["checksum"]
        return data


@MUTANTS.add("KV-01", "reports a corrupt block and keeps it")
class KeepsCorrupt(FolderTier):
    def lose(self, name: Name, entry: Entry, reason: str) -> BlockOutcome:
        with self.lock:
            self.losses.append((*name, reason))
        return BlockOutcome("corrupt", reason)


@MUTANTS.add("KV-02", "writes in place, so a crash leaves half a block under its name")
class WritesInPlace(FolderTier):
    def write(self, name: Name, entry: Entry, data: bytes) -> None:
        with self.path_of(name).open("wb") as file:
            file.write(self.head_of(name, entry))
            file.flush()
            file.write(data)

    def read_head(self, path: Path) -> tuple[Name, Entry] | None:
        try:
            with path.open("rb") as file:
                head = json.loads(file.readline())
            name = (str(head["namespace"]), ContentKey(bytes.fromhex(head["key"])))
            return name, Entry(int(head["nbytes"]), int(head["checksum"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None


@MUTANTS.add("KV-02", "after a crash it finishes what was written aside, without looking whether it is whole")
class FinishesParts(FolderTier):
    def recover(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for part in sorted(self.folder.glob("*.part")):
            os.replace(part, part.with_suffix(".block"))
        super().recover()

    def read_head(self, path: Path) -> tuple[Name, Entry] | None:
        return WritesInPlace.read_head(self, path)  # type: ignore[arg-type]  # it asks nothing of itself


@MUTANTS.add("KV-02", "the index has the block before the file does")
class IndexFirst(FolderTier):
    def write(self, name: Name, entry: Entry, data: bytes) -> None:
        with self.lock:
            self.entries[name] = entry
        super().write(name, entry, data)


@MUTANTS.add("KV-03", "made again, it counts from nothing and takes as much once more")
class CountsFromNothing(FolderTier):
    def recover(self) -> None:
        super().recover()
        self.old = set(self.entries)

    def has_room(self, nbytes: int) -> bool:
        fresh = sum(entry.nbytes for name, entry in self.entries.items() if name not in self.old)
        return fresh + sum(self.coming.values()) + nbytes <= self.capacity_bytes


@MUTANTS.add("KV-04", "two threads that put one key both write it")
class BothWrite(FolderTier):
    def put_one(self, operation: Operation, number: int) -> BlockOutcome:
        name, data = operation.names[number], operation.data[number]
        with self.lock:
            if operation.expired or self.closed:
                return BlockOutcome("rejected", "too late")
            if name in self.entries:
                return BlockOutcome("present")
            if not self.has_room(len(data)):
                return BlockOutcome("rejected", "full")
        entry = Entry(len(data), zlib.crc32(data))
        time.sleep(0.0005)
        try:
            self.write(name, entry, data)
        except OSError as error:
            return BlockOutcome("rejected", str(error))
        with self.lock:
            self.entries[name] = entry
        return BlockOutcome("stored")


@MUTANTS.add("KV-05", "writes and reads while the caller waits in submit")
class InSubmit(FolderTier):
    def start(self, operation: Operation, work: Callable[[Operation, int], BlockOutcome | None]) -> int:
        handle = super().start(operation, work)
        self.lock.release()
        self.threads[-1].join(20)
        self.lock.acquire()
        return handle


@MUTANTS.add("KV-05", "an operation ends when the device answers")
class WaitsForDevice(FolderTier):
    def poll(self, handle: int) -> list[BlockOutcome] | None:
        operation = self.running.get(handle)
        if operation is not None and not operation.done and not self.closed:
            return None
        return super().poll(handle)


@MUTANTS.add("KV-05", "reckons deadlines by the wall clock, which somebody sets back")
class WallClock(FolderTier):
    def __init__(self, *, capacity_bytes: int, path: str) -> None:
        super().__init__(capacity_bytes=capacity_bytes, path=path)
        self.wall_until: dict[int, float] = {}

    def start(self, operation: Operation, work: Callable[[Operation, int], BlockOutcome | None]) -> int:
        until = operation.until - time.monotonic() + time.time()
        operation.until = float("inf")
        handle = super().start(operation, work)
        self.wall_until[handle] = until
        return handle

    def poll(self, handle: int) -> list[BlockOutcome] | None:
        operation = self.running.get(handle)
        if operation is not None and time.time() >= self.wall_until[handle]:
            operation.until = 0.0
        return super().poll(handle)


@MUTANTS.add("KV-05", "a put that was rejected at its deadline goes on and stores its blocks")
class StoresLater(FolderTier):
    def put_one(self, operation: Operation, number: int) -> BlockOutcome | None:
        expired = operation.expired
        twin = Operation(operation.names, operation.until, outcomes=operation.outcomes, data=operation.data)
        return BlockOutcome("rejected", "too late") if expired else super().put_one(twin, number)


@MUTANTS.add("KV-06", "the room of a put that failed is never given back")
class KeepsReservation(FolderTier):
    def __init__(self, *, capacity_bytes: int, path: str) -> None:
        self.reserved: dict[Name, int] = {}
        super().__init__(capacity_bytes=capacity_bytes, path=path)

    def write(self, name: Name, entry: Entry, data: bytes) -> None:
        self.reserved[name] = entry.nbytes
        super().write(name, entry, data)
        del self.reserved[name]

    def usage(self) -> TierUsage:
        usage = super().usage()
        held = usage.bytes + sum(self.reserved.values())
        return TierUsage(blocks=usage.blocks, bytes=held, capacity_bytes=self.capacity_bytes)


@MUTANTS.add("KV-06", "removed blocks leave the index and stay on the disk")
class FilesStay(FolderTier):
    def discard_file(self, name: Name) -> None:
        path = self.path_of(name)
        if path.exists():
            os.replace(path, path.with_name(f"{time.monotonic_ns()}.trash"))


@MUTANTS.add("KV-07", "a block that cannot be read is dropped without a word")
class SilentLoss(FolderTier):
    def lose(self, name: Name, entry: Entry, reason: str) -> BlockOutcome:
        outcome = super().lose(name, entry, reason)
        self.losses.clear()
        return BlockOutcome("missing") if outcome.outcome == "corrupt" else outcome


@MUTANTS.add("KV-07", "a loss is reported to everybody who asks, for ever")
class ReportsForEver(FolderTier):
    def take_lost(self) -> list[Loss]:
        with self.lock:
            return list(self.losses)


@MUTANTS.add("KV-07", "losses carry no namespace")
class NamelessLoss(FolderTier):
    def take_lost(self) -> list[Loss]:
        return [("", key, reason) for _, key, reason in super().take_lost()]


@MUTANTS.add("KV-08", "cleans namespaces for the file system, and two become one")
class CleansNames(FolderTier):
    def clean(self, namespace: str) -> str:
        return "".join(letter if letter.isalnum() else "_" for letter in namespace.lower())[:128]

    def submit_put(
        self, namespace: str, keys: Sequence[ContentKey], blocks: Sequence[MemoryRegion], *, deadline_s: float
    ) -> int:
        return super().submit_put(self.clean(namespace), keys, blocks, deadline_s=deadline_s)

    def submit_get(
        self, namespace: str, keys: Sequence[ContentKey], into: Sequence[MemoryRegion], *, deadline_s: float
    ) -> int:
        return super().submit_get(self.clean(namespace), keys, into, deadline_s=deadline_s)

    def contains(self, namespace: str, keys: Sequence[ContentKey]) -> list[bool]:
        return super().contains(self.clean(namespace), keys)

    def remove(self, namespace: str, keys: Sequence[ContentKey]) -> int:
        return super().remove(self.clean(namespace), keys)


@MUTANTS.add("KV-08", "made again, it knows every block under every namespace that it is asked for")
class ForgetsNamespaces(FolderTier):
    def recover(self) -> None:
        super().recover()
        self.old = {key: name for name in self.entries for key in [name[1]]}

    def get_one(self, operation: Operation, number: int) -> BlockOutcome:
        name = operation.names[number]
        if name not in self.entries and name[1] in self.old:
            operation.names[number] = self.old[name[1]]
        return super().get_one(operation, number)


@MUTANTS.add("KV-09", "the thread that reads fills the region itself, however late")
class FillsLate(FolderTier):
    def get_one(self, operation: Operation, number: int) -> BlockOutcome:
        outcome = super().get_one(operation, number)
        if outcome.outcome == "hit":
            write_region(operation.regions[number], operation.data[number])
        return outcome


@MUTANTS.add("KV-10", "says stored and writes when it is closed")
class WritesAtClose(FolderTier):
    def __init__(self, *, capacity_bytes: int, path: str) -> None:
        self.unwritten: dict[Name, tuple[Entry, bytes]] = {}
        super().__init__(capacity_bytes=capacity_bytes, path=path)

    def write(self, name: Name, entry: Entry, data: bytes) -> None:
        self.unwritten[name] = (entry, data)

    def read(self, name: Name) -> bytes:
        return self.unwritten[name][1] if name in self.unwritten else super().read(name)

    def discard_file(self, name: Name) -> None:
        self.unwritten.pop(name, None)
        super().discard_file(name)

    def close(self) -> None:
        for name, (entry, data) in self.unwritten.items():
            super().write(name, entry, data)
        self.unwritten.clear()
        super().close()


@MUTANTS.add("KV-10", "a lock file that a dead process left keeps everybody out")
class StaleLock(FolderTier):
    def recover(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lock_file = self.folder / "lock"
        if self.lock_file.exists():
            raise DeviceUnavailable(f"{self.folder} is in use")
        super().recover()
        self.lock_file.write_text(str(os.getpid()))

    def close(self) -> None:
        if not self.closed:
            self.lock_file.unlink(missing_ok=True)
        super().close()


@MUTANTS.add("KV-10", "starts with a clean folder")
class WipesAtStart(FolderTier):
    def recover(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in self.folder.iterdir():
            path.unlink()
        super().recover()


@MUTANTS.add("KV-10", "made again, it serves the old blocks and does not count them")
class UsageStartsAnew(FolderTier):
    def recover(self) -> None:
        super().recover()
        self.old = set(self.entries)

    def usage(self) -> TierUsage:
        fresh = [entry.nbytes for name, entry in self.entries.items() if name not in self.old]
        return TierUsage(blocks=len(fresh), bytes=sum(fresh), capacity_bytes=self.capacity_bytes)
