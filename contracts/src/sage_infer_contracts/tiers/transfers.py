"""Batches of block copies between caller-owned memory and a tier: queued, done by a few threads, polled.

A region belongs to its copy until :meth:`Crew.poll` has returned the outcomes. So every touch of it happens in
:meth:`Copy.touch`, under the copy's lock, a chunk at a time: a poll past the deadline waits for one chunk at most, and
afterwards nothing is touched, however late the device answers. A chunk fits the processor's cache, where its checksum
costs no second trip to memory.
"""

from __future__ import annotations

import ctypes
import itertools
import queue
import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import Literal

import attrs

from ..content import ContentKey
from ..errors import BackendUnavailable, CapacityExceeded, InvalidRequest, Unsupported
from ..memory import MemoryRegion
from ..store import BlockOutcome

CHUNK_BYTES = 256 * 1024
_JOIN_S = 5.0
Name = tuple[str, ContentKey]


class Late(Exception):
    """The outcome of the copy was given already; its region must not be touched any more."""


@attrs.define(slots=True, eq=False)
class Copy:
    """One block on its way. Shared by the thread that copies and those that poll."""

    name: Name
    region: MemoryRegion
    refusal: Literal["rejected", "missing"]
    lock: threading.Lock = attrs.field(factory=threading.Lock)
    outcome: BlockOutcome | None = None

    def move(self, offset: int, address: int, nbytes: int, *, into_region: bool) -> None:
        """Copy between the region, in host memory, at ``offset`` and other memory; raises :class:`Late`."""
        inside = self.region.address + offset
        target, source = (inside, address) if into_region else (address, inside)
        self.touch(lambda: ctypes.memmove(target, source, nbytes))

    def touch(self, action: Callable[[], object]) -> None:
        """Do something with the region that is over when ``action`` returns; raises :class:`Late`."""
        with self.lock:
            if self.outcome is not None:
                raise Late
            action()

    def refuse(self, reason: str) -> bool:
        """Say that it was not done, and why."""
        return self.end(BlockOutcome(self.refusal, reason))

    def end(self, outcome: BlockOutcome, commit: Callable[[], None] | None = None) -> bool:
        """Give the outcome, and do ``commit`` in the same moment; False if another was given before."""
        with self.lock:
            if self.outcome is not None:
                return False
            if commit is not None:
                commit()
            self.outcome = outcome
            return True


Work = Callable[[Copy], None]
"""Copies one block and ends it."""


@attrs.frozen(slots=True, eq=False)
class _Batch:
    copies: list[Copy]
    until: float


class Crew:
    """A few threads, started at the first batch that needs them. All methods may be called by any thread.

    Batches of at most ``inline_bytes`` are done by the thread that submits them: for these a hand-over costs more than
    the copy. ``max_pending`` bounds the blocks that wait, and the batches nobody polled. Regions are on one of
    ``devices``.
    """

    def __init__(
        self,
        name: str,
        *,
        workers: int,
        max_pending: int,
        inline_bytes: int = 0,
        devices: Collection[str] = ("cpu",),
    ) -> None:
        if workers < 1 or max_pending < 1:
            raise InvalidRequest("workers and max_pending must be at least 1", param="workers")
        self._name = name
        self._workers = workers
        self._max_pending = max_pending
        self._inline_bytes = inline_bytes
        self._devices = frozenset(devices)
        self._lock = threading.Lock()
        self._queue: queue.SimpleQueue[tuple[Copy, Work] | None] = queue.SimpleQueue()
        self._batches: dict[int, _Batch] = {}
        self._handles = itertools.count(1)
        self._threads: list[threading.Thread] = []
        self.closed = False

    def check_open(self) -> None:
        """Raise ``BackendUnavailable`` once closed."""
        if self.closed:
            raise BackendUnavailable(f"the tier {self._name} is closed")

    def submit(
        self,
        refusal: Literal["rejected", "missing"],
        work: Work,
        namespace: str,
        keys: Sequence[ContentKey],
        regions: Sequence[MemoryRegion],
        deadline_s: float,
    ) -> int:
        """Start ``work`` on each block and return a handle."""
        until = time.monotonic() + deadline_s
        _check(keys, regions, self._devices)
        copies = [Copy((namespace, key), region, refusal) for key, region in zip(keys, regions, strict=True)]
        inline = sum(region.nbytes for region in regions) <= self._inline_bytes
        with self._lock:
            self.check_open()
            if len(self._batches) >= self._max_pending or self._queue.qsize() >= self._max_pending:
                raise CapacityExceeded(
                    f"the tier {self._name} has {self._max_pending} copies waiting; poll them first"
                )
            handle = next(self._handles)
            self._batches[handle] = _Batch(copies, until)
            if not inline:
                self._start_threads()
                for copy in copies:
                    self._queue.put((copy, work))
        for copy in copies if inline else ():
            _do(work, copy)
        return handle

    def poll(self, handle: int) -> list[BlockOutcome] | None:
        """Return the outcomes once all are there, or the deadline has passed."""
        batch = self._batches.get(handle)
        if batch is None:
            self.check_open()
            raise InvalidRequest(
                f"no batch has the handle {handle}; its outcomes are given once", param="handle"
            )
        if any(copy.outcome is None for copy in batch.copies):
            if time.monotonic() < batch.until and not self.closed:
                return None
            for copy in batch.copies:
                copy.refuse("deadline")
        with self._lock:
            if self._batches.pop(handle, None) is None:
                raise InvalidRequest(f"the outcomes of {handle} were given to another thread", param="handle")
        return [copy.outcome for copy in batch.copies if copy.outcome is not None]

    def close(self) -> bool:
        """End every copy and the threads; False if it was closed before. A thread stuck in a device is left to it."""
        with self._lock:
            if self.closed:
                return False
            self.closed = True
            batches = list(self._batches.values())
        for batch in batches:
            for copy in batch.copies:
                copy.refuse("closed")
        for _ in self._threads:
            self._queue.put(None)
        until = time.monotonic() + _JOIN_S
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        return True

    @property
    def ended(self) -> bool:
        """Whether every thread is over: after :meth:`close`, False means that one is stuck in a device."""
        return not any(thread.is_alive() for thread in self._threads)

    def _start_threads(self) -> None:
        for number in range(len(self._threads), self._workers):
            thread = threading.Thread(target=self._run, name=f"{self._name}-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            copy, work = item
            if copy.outcome is None:
                _do(work, copy)
            del item, copy, work  # or the last one would be kept alive while the queue is empty


def _do(work: Work, copy: Copy) -> None:
    try:
        work(copy)
    except Late:
        return
    except Exception as error:  # noqa: BLE001 - a thread of the crew must live on, and the caller must hear of it
        copy.refuse(f"{type(error).__name__}: {error}")


def _check(keys: Sequence[ContentKey], regions: Sequence[MemoryRegion], devices: frozenset[str]) -> None:
    if len(keys) != len(regions):
        raise InvalidRequest(f"{len(keys)} keys and {len(regions)} regions", param="keys")
    for region in regions:
        if region.device not in devices:
            raise Unsupported(
                f"memory on {region.device}: this tier copies memory of {', '.join(sorted(devices))} only",
                param="regions",
            )
