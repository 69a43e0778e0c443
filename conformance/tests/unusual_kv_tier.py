"""Correct tiers that do not work as the references do: no rule may speak against them."""

from __future__ import annotations

import itertools
import json
import os
import queue
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

from sage_infer_conformance.kinds.kv_tier.folder_reference import FolderTier
from sage_infer_conformance.kinds.kv_tier.reference import Entry, MemoryTier, Name, read_region, write_region
from sage_infer_contracts.capabilities import Capability
from sage_infer_contracts.content import ContentKey
from sage_infer_contracts.memory import MemoryRegion
from sage_infer_contracts.store import BlockOutcome

Work = Callable[[], list[BlockOutcome]]


class RejectsHalf(MemoryTier):
    """Takes every second block it is offered, for reasons of its own."""

    def __init__(self, *, capacity_bytes: int) -> None:
        super().__init__(capacity_bytes=capacity_bytes)
        self.offers = itertools.count()

    def put(self, name: Name, data: bytes) -> BlockOutcome:
        if next(self.offers) % 2:
            return BlockOutcome("rejected", "not this one")
        return super().put(name, data)


class AllOrNothing(MemoryTier):
    """Takes a batch when all of it fits, and never says that a block is present: it rejects that, too."""

    def submit_put(
        self, namespace: str, keys: Sequence[ContentKey], blocks: Sequence[MemoryRegion], *, deadline_s: float
    ) -> int:
        with self.lock:
            self.check_open(keys, blocks)
            known = any((namespace, key) in self.entries for key in keys)
            if known or not self.has_room(sum(block.nbytes for block in blocks)):
                return self.end([BlockOutcome("rejected", "not as a whole") for _ in keys])
            return super().submit_put(namespace, keys, blocks, deadline_s=deadline_s)


class WorksInPoll(MemoryTier):
    """Does nothing at submit; the second poll does the work, unless the deadline has passed."""

    def __init__(self, *, capacity_bytes: int) -> None:
        super().__init__(capacity_bytes=capacity_bytes)
        self.waiting: dict[int, tuple[float, int, BlockOutcome, Work]] = {}
        self.polls: dict[int, int] = {}

    def submit_put(
        self, namespace: str, keys: Sequence[ContentKey], blocks: Sequence[MemoryRegion], *, deadline_s: float
    ) -> int:
        pairs = list(zip(keys, blocks, strict=True))
        work = lambda: [self.put((namespace, key), read_region(block)) for key, block in pairs]  # noqa: E731
        return self.wait(work, len(pairs), BlockOutcome("rejected", "too late"), deadline_s)

    def submit_get(
        self, namespace: str, keys: Sequence[ContentKey], into: Sequence[MemoryRegion], *, deadline_s: float
    ) -> int:
        pairs = list(zip(keys, into, strict=True))
        work = lambda: [self.get((namespace, key), region) for key, region in pairs]  # noqa: E731
        return self.wait(work, len(pairs), BlockOutcome("missing", "too late"), deadline_s)

    def wait(self, work: Work, count: int, late: BlockOutcome, deadline_s: float) -> int:
        with self.lock:
            self.check_open((), ())
            handle = next(self.handles)
            self.waiting[handle] = (time.monotonic() + deadline_s, count, late, work)
            return handle

    def poll(self, handle: int) -> list[BlockOutcome] | None:
        with self.lock:
            until, count, late, work = self.waiting[handle]
            if not self.closed and time.monotonic() < until:
                self.polls[handle] = self.polls.get(handle, 0) + 1
                if self.polls[handle] < 2:
                    return None
                del self.waiting[handle]
                return work()
            del self.waiting[handle]
            return [late] * count


class MissingNotCorrupt(FolderTier):
    """Calls a damaged block missing, with the reason, and reports its loss all the same."""

    def lose(self, name: Name, entry: Entry, reason: str) -> BlockOutcome:
        super().lose(name, entry, reason)
        return BlockOutcome("missing", reason)


class LogTier(MemoryTier):
    """One file to which a single thread appends blocks and removals; compacted when it is mostly dead."""

    def __init__(self, *, capacity_bytes: int, path: str) -> None:
        super().__init__(capacity_bytes=capacity_bytes)
        self.path = Path(path) / "blocks.log"
        self.places: dict[Name, int] = {}
        self.waiting: dict[int, dict] = {}  # type: ignore[type-arg]
        self.tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self.regions: dict[int, Sequence[MemoryRegion]] = {}
        self.recover()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    @property
    def capabilities(self) -> frozenset[str]:
        return frozenset({Capability.TIER_PERSISTENT})

    def recover(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        data = self.path.read_bytes() if self.path.exists() else b""
        at = 0
        while (found := self.record(data, at)) is not None:
            name, entry, at = found
            if entry.nbytes:
                self.entries[name] = entry
                self.places[name] = at - entry.nbytes
            else:
                self.entries.pop(name, None)
        self.compact(
            {name: data[self.places[name] :][: entry.nbytes] for name, entry in self.entries.items()}
        )

    def record(self, data: bytes, at: int) -> tuple[Name, Entry, int] | None:
        end = data.find(b"\n", at)
        if end < 0:
            return None
        try:
            namespace, key, nbytes, checksum = json.loads(data[at:end])
            name, body = (str(namespace), ContentKey(bytes.fromhex(key))), data[end + 1 :][: int(nbytes)]
        except (ValueError, TypeError):
            return None
        if len(body) != nbytes or zlib.crc32(body, zlib.crc32(repr(name).encode())) != checksum:
            return None
        return name, Entry(int(nbytes), int(checksum)), end + 1 + int(nbytes)

    def compact(self, blocks: dict[Name, bytes]) -> None:
        aside = self.path.with_suffix(".new")
        with aside.open("wb") as file:
            for name, data in blocks.items():
                file.write(self.head(name, data))
                self.places[name] = file.tell()
                file.write(data)
        os.replace(aside, self.path)
        self.file = os.open(self.path, os.O_RDWR | os.O_APPEND)
        self.size = os.fstat(self.file).st_size

    def head(self, name: Name, data: bytes) -> bytes:
        checksum = zlib.crc32(data, zlib.crc32(repr(name).encode()))
        return json.dumps([name[0], name[1].hex(), len(data), checksum]).encode() + b"\n"

    def serve(self) -> None:
        while (task := self.tasks.get()) is not None:
            task()

    def submit_put(
        self, namespace: str, keys: Sequence[ContentKey], blocks: Sequence[MemoryRegion], *, deadline_s: float
    ) -> int:
        data = [read_region(block) for block in blocks]
        return self.start([(namespace, key) for key in keys], data, (), deadline_s)

    def submit_get(
        self, namespace: str, keys: Sequence[ContentKey], into: Sequence[MemoryRegion], *, deadline_s: float
    ) -> int:
        return self.start([(namespace, key) for key in keys], [b""] * len(keys), into, deadline_s)

    def start(
        self, names: list[Name], data: list[bytes], into: Sequence[MemoryRegion], deadline_s: float
    ) -> int:
        with self.lock:
            self.check_open((), ())
            handle = next(self.handles)
            late = BlockOutcome("missing" if into else "rejected", "deadline")
            self.ended[handle] = [late] * len(names)
            state = {
                "until": time.monotonic() + deadline_s,
                "left": len(names),
                "names": names,
                "data": data,
                "into": into,
            }
            self.waiting[handle] = state
        for number in range(len(names)):
            self.tasks.put(lambda number=number: self.one(handle, state, number))  # type: ignore[misc]
        return handle

    def one(self, handle: int, state: dict, number: int) -> None:  # type: ignore[type-arg]
        name = state["names"][number]
        if handle not in self.waiting:
            return
        fetch, data = bool(state["into"]), state["data"][number]
        outcome = self.fetch(name, state, number) if fetch else self.append(name, data, handle)
        with self.lock:
            if handle in self.waiting:
                self.ended[handle][number] = outcome
                state["left"] -= 1

    def append(self, name: Name, data: bytes, handle: int) -> BlockOutcome:
        with self.lock:
            if name in self.entries:
                return BlockOutcome("present")
            if not self.has_room(len(data)):
                return BlockOutcome("rejected", "full")
        record = self.head(name, data) + data
        try:
            start = os.fstat(self.file).st_size
            written = 0
            while written < len(record):
                written += os.write(self.file, record[written:])
        except OSError as error:
            return self.undo(start, str(error))
        checksum = zlib.crc32(data, zlib.crc32(repr(name).encode()))
        with self.lock:
            if handle in self.waiting:
                self.entries[name] = Entry(len(data), checksum)
                self.places[name] = start + len(record) - len(data)
                return BlockOutcome("stored")
        return self.undo(start, "late")

    def undo(self, start: int, reason: str) -> BlockOutcome:
        try:
            os.ftruncate(self.file, start)
        except OSError:
            self.has_room = lambda nbytes: False  # type: ignore[method-assign]  # nothing after a torn record is found
        return BlockOutcome("rejected", reason)

    def fetch(self, name: Name, state: dict, number: int) -> BlockOutcome:  # type: ignore[type-arg]
        with self.lock:
            entry, place = self.entries.get(name), self.places.get(name, 0)
        if entry is None or entry.nbytes != state["into"][number].nbytes:
            return BlockOutcome("missing", None if entry is None else "another size")
        try:
            data = os.pread(self.file, entry.nbytes, place)
        except OSError as error:
            return BlockOutcome("missing", str(error))
        if zlib.crc32(data, zlib.crc32(repr(name).encode())) != entry.checksum:
            with self.lock:
                if self.entries.get(name) is not entry:
                    return BlockOutcome("missing")
                del self.entries[name]
                self.losses.append((*name, "damaged"))
            return BlockOutcome("corrupt", "damaged")
        state["data"][number] = data
        return BlockOutcome("hit")

    def poll(self, handle: int) -> list[BlockOutcome] | None:
        with self.lock:
            state = self.waiting.get(handle)
            if state is None:
                return super().poll(handle)
            if state["left"] and time.monotonic() < state["until"] and not self.closed:
                return None
            del self.waiting[handle]
            outcomes = super().poll(handle)
            for number, region in enumerate(state["into"]):
                if outcomes is not None and outcomes[number].outcome == "hit":
                    write_region(region, state["data"][number])
            return outcomes

    def drop(self, name: Name) -> bool:
        gone = super().drop(name)
        if gone:
            self.tasks.put(lambda: self.bury(name))
        return gone

    def bury(self, name: Name) -> None:
        with self.lock:
            if name in self.entries:
                return
            live = sum(entry.nbytes for entry in self.entries.values())
            start = os.fstat(self.file).st_size
            try:
                os.write(self.file, self.head(name, b""))
                if start > 2 * live + self.capacity_bytes // 2:
                    blocks = {
                        it: os.pread(self.file, e.nbytes, self.places[it]) for it, e in self.entries.items()
                    }
                    os.close(self.file)
                    self.compact(blocks)
            except OSError as error:
                self.undo(start, str(error))

    def close(self) -> None:
        with self.lock:
            again, self.closed = self.closed, True
        if not again:
            self.tasks.put(None)
            self.thread.join(5)
            os.close(self.file)
        super().close()
