"""A small correct persistent tier: a file for each block, written aside and renamed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs

from sage_infer_contracts.capabilities import Capability
from sage_infer_contracts.content import ContentKey
from sage_infer_contracts.memory import MemoryRegion
from sage_infer_contracts.store import BlockOutcome

from .reference import Entry, MemoryTier, Name, read_region, write_region

_JOIN_S = 5.0


@attrs.define(slots=True)
class Operation:
    """A put or get on its way. Regions are touched in submit and poll only, never by the thread."""

    names: list[Name]
    until: float
    regions: Sequence[MemoryRegion] = ()
    outcomes: list[BlockOutcome] = attrs.field(factory=list)
    data: list[bytes] = attrs.field(factory=list)
    done: bool = False
    expired: bool = False


class FolderTier(MemoryTier):
    """The index is in memory and is made from the names and heads of the files at the start.

    A file is one line of JSON (namespace, key, length, checksum) and the block. Each operation has a thread of its own,
    so a device that does not answer holds up nobody.
    """

    def __init__(self, *, capacity_bytes: int, path: str) -> None:
        super().__init__(capacity_bytes=capacity_bytes)
        self.folder = Path(path)
        self.running: dict[int, Operation] = {}
        self.threads: list[threading.Thread] = []
        self.leaving: dict[Name, int] = {}
        self.coming: dict[Name, int] = {}
        self.recover()

    @property
    def capabilities(self) -> frozenset[str]:
        """It is persistent."""
        return frozenset({Capability.TIER_PERSISTENT})

    def recover(self) -> None:
        """Read the head of every file; drop what was not finished."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(self.folder.iterdir()):
            found = self.read_head(path)
            if found is None or path.suffix != ".block":
                path.unlink()
            else:
                self.entries[found[0]] = found[1]

    def read_head(self, path: Path) -> tuple[Name, Entry] | None:
        """Return which block a file holds, or None if it is none."""
        try:
            with path.open("rb") as file:
                head = json.loads(file.readline())
                name = (str(head["namespace"]), ContentKey(bytes.fromhex(head["key"])))
                start, size = file.tell(), path.stat().st_size
            whole = size - start == head["nbytes"] and path == self.path_of(name)
            return (name, Entry(int(head["nbytes"]), int(head["checksum"]))) if whole else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def path_of(self, name: Name) -> Path:
        """Return the file of a block."""
        return self.folder / f"{hashlib.sha256(name[0].encode() + name[1]).hexdigest()}.block"

    def submit_put(
        self, namespace: str, keys: Sequence[ContentKey], blocks: Sequence[MemoryRegion], *, deadline_s: float
    ) -> int:
        """Copy the blocks and store them in a thread."""
        with self.lock:
            self.check_open(keys, blocks)
            operation = Operation([(namespace, key) for key in keys], time.monotonic() + deadline_s)
            operation.data = [read_region(block) for block in blocks]
            return self.start(operation, self.put_one)

    def submit_get(
        self, namespace: str, keys: Sequence[ContentKey], into: Sequence[MemoryRegion], *, deadline_s: float
    ) -> int:
        """Read blocks in a thread; poll copies them."""
        with self.lock:
            self.check_open(keys, into)
            operation = Operation([(namespace, key) for key in keys], time.monotonic() + deadline_s, into)
            return self.start(operation, self.get_one)

    def start(self, operation: Operation, work: Callable[[Operation, int], BlockOutcome | None]) -> int:
        """Let a thread do ``work`` for each block; it returns None if it has entered the outcome itself."""
        handle = next(self.handles)
        self.running[handle] = operation

        def run() -> None:
            for number in range(len(operation.names)):
                outcome = work(operation, number)
                with self.lock:
                    if outcome is not None and not operation.expired:
                        operation.outcomes.append(outcome)
            operation.done = True

        thread = threading.Thread(target=run, name="reference-tier", daemon=True)
        self.threads = [one for one in self.threads if one.is_alive()] + [thread]
        thread.start()
        return handle

    def poll(self, handle: int) -> list[BlockOutcome] | None:
        """Hand the outcomes over when all are there or the time is up."""
        with self.lock:
            operation = self.running.get(handle)
            if operation is None:
                return super().poll(handle)
            late = time.monotonic() >= operation.until or self.closed
            if not operation.done and not late:
                return None
            operation.expired = True
            del self.running[handle]
            return self.hand_over(operation)

    def hand_over(self, operation: Operation) -> list[BlockOutcome]:
        """Copy what was read, and fill in what did not end."""
        outcomes = operation.outcomes
        for number, region in enumerate(operation.regions):
            if number < len(outcomes) and outcomes[number].outcome == "hit":
                write_region(region, operation.data[number])
        missing = BlockOutcome("missing" if operation.regions else "rejected", "deadline")
        return outcomes + [missing] * (len(operation.names) - len(outcomes))

    def has_room(self, nbytes: int) -> bool:
        """Count what is being written and removed, too."""
        moving = sum(self.coming.values()) + sum(self.leaving.values())
        return sum(entry.nbytes for entry in self.entries.values()) + moving + nbytes <= self.capacity_bytes

    def put_one(self, operation: Operation, number: int) -> BlockOutcome | None:
        """Reserve room, write, and make the block visible and say so in one, unless the time is up."""
        name, data = operation.names[number], operation.data[number]
        with self.lock:
            if operation.expired or self.closed:
                return BlockOutcome("rejected", "too late")
            if name in self.entries:
                return BlockOutcome("present")
            if name in self.coming or name in self.leaving or not self.has_room(len(data)):
                return BlockOutcome("rejected", "full or busy")
            self.coming[name] = len(data)
        entry = Entry(len(data), zlib.crc32(data))
        outcome = BlockOutcome("stored")
        try:
            self.write(name, entry, data)
        except OSError as error:
            outcome = BlockOutcome("rejected", str(error))
        with self.lock:
            if outcome.outcome == "stored" and not operation.expired:
                self.entries[name] = entry
                del self.coming[name]
                operation.outcomes.append(outcome)
                return None
        self.discard_file(name)
        with self.lock:
            del self.coming[name]
        return outcome

    def head_of(self, name: Name, entry: Entry) -> bytes:
        """Return the first line of a block's file."""
        facts = {
            "namespace": name[0],
            "key": name[1].hex(),
            "nbytes": entry.nbytes,
            "checksum": entry.checksum,
        }
        return json.dumps(facts).encode() + b"\n"

    def write(self, name: Name, entry: Entry, data: bytes) -> None:
        """Write a file aside, then give it its name."""
        aside = self.path_of(name).with_suffix(".part")
        aside.write_bytes(self.head_of(name, entry) + data)
        os.replace(aside, self.path_of(name))

    def read(self, name: Name) -> bytes:
        """Return the bytes of a block as they lie in its file; raises OSError or ValueError."""
        with self.path_of(name).open("rb") as file:
            head = json.loads(file.readline())
            if (head["namespace"], head["key"]) != (name[0], name[1].hex()):
                raise ValueError("the file of another block")
            return file.read()

    def get_one(self, operation: Operation, number: int) -> BlockOutcome:
        """Read and check one block."""
        name, wanted = operation.names[number], operation.regions[number].nbytes
        operation.data.append(b"")
        with self.lock:
            entry = self.entries.get(name)
        if entry is None:
            return BlockOutcome("missing")
        if entry.nbytes != wanted:
            return BlockOutcome("missing", f"the block has {entry.nbytes} bytes, the region {wanted}")
        try:
            data = self.read(name)
        except (OSError, ValueError, KeyError, TypeError) as error:
            return self.lose(name, entry, f"cannot be read: {error}")
        if len(data) != entry.nbytes or zlib.crc32(data) != entry.checksum:
            return self.lose(name, entry, "the checksum is wrong")
        operation.data[number] = data
        return BlockOutcome("hit")

    def lose(self, name: Name, entry: Entry, reason: str) -> BlockOutcome:
        """Drop a block that is broken and report it, unless its owner removed it meanwhile."""
        with self.lock:
            if self.entries.get(name) is not entry:
                return BlockOutcome("missing")
            self.losses.append((*name, reason))
        self.drop(name)
        return BlockOutcome("corrupt", reason)

    def drop(self, name: Name) -> bool:
        """Forget a block, then its file; its room is free when the file is gone."""
        with self.lock:
            entry = self.entries.pop(name, None)
            if entry is None:
                return False
            self.leaving[name] = entry.nbytes
        self.discard_file(name)
        with self.lock:
            del self.leaving[name]
        return True

    def remove(self, namespace: str, keys: Sequence[ContentKey]) -> int:
        """Drop blocks; the lock is not held while files go."""
        with self.lock:
            self.check_open((), ())
        return sum(self.drop((namespace, key)) for key in keys)

    def discard_file(self, name: Name) -> None:
        """Remove what there is of a file; a device that refuses keeps it, and nobody looks at it any more."""
        for path in (self.path_of(name), self.path_of(name).with_suffix(".part")):
            with contextlib.suppress(OSError):
                path.unlink()

    def close(self) -> None:
        """Wait for the threads and stop; the files stay."""
        with self.lock:
            self.closed = True
            threads, self.threads = self.threads, []
        until = time.monotonic() + _JOIN_S
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        super().close()
