"""Who reserved which device, or how many bytes of it: a file that processes share under a lock."""

from __future__ import annotations

import fcntl
import os
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from pydantic import Field, PositiveInt, ValidationError

from sage_infer_contracts.errors import CapacityExceeded, DeadlineExceeded, SageInferError
from sage_infer_contracts.wire import FrozenModel, WireModel

from .proc import ProcessIdentity, this_process

LOCK_TIMEOUT_S = 10.0
_POLL_S = 0.01


class Reservation(FrozenModel):
    """One entry: ``nbytes`` of a device's memory, or the whole device."""

    id: str
    device: str = Field(
        description="UUID, PCI address, or the name that gpu_manager gives a device without either"
    )
    nbytes: PositiveInt | None = Field(
        default=None, description="null: the whole device, and nobody else on it"
    )
    owner: ProcessIdentity
    label: str = ""
    since: float = Field(description="seconds of the real-time clock")


class _Book(WireModel):
    reservations: tuple[Reservation, ...] = ()


class ReservationBook:
    """The file ``path``. Every operation takes the lock beside it, and forgets owners that are gone.

    Threads and processes may share a book; one object may be used from several threads, and from a forked child. A
    reservation binds those who ask here; it does not keep anybody from using the device.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread_lock = threading.Lock()

    def add(
        self, device: str, nbytes: int | None, *, total_bytes: int | None, label: str = "",
        timeout_s: float = LOCK_TIMEOUT_S,
    ) -> Reservation:  # fmt: skip
        """Reserve and return the entry, of this process. ``total_bytes`` is the device's memory, null if unknown.

        Raises ``CapacityExceeded`` naming who holds the device, ``DeadlineExceeded`` when the lock is not free in time.
        """
        with self._locked(timeout_s) as (book, write):
            taken = [one for one in book.reservations if one.device == device]
            _require_room(device, nbytes, taken, total_bytes)
            entry = Reservation(
                id=uuid.uuid4().hex,
                device=device,
                nbytes=nbytes,
                owner=this_process(),
                label=label,
                since=time.time(),
            )
            write((*book.reservations, entry))
            return entry

    def remove(self, entry: Reservation, *, timeout_s: float = LOCK_TIMEOUT_S) -> None:
        """Give back; an entry that is not there is none to remove."""
        with self._locked(timeout_s) as (book, write):
            write(tuple(one for one in book.reservations if one.id != entry.id))

    def entries(self, *, timeout_s: float = LOCK_TIMEOUT_S) -> tuple[Reservation, ...]:
        """Return what is reserved now."""
        with self._locked(timeout_s) as (book, _):
            return book.reservations

    @contextmanager
    def _locked(self, timeout_s: float) -> Iterator[tuple[_Book, _Writer]]:
        deadline = time.monotonic() + timeout_s
        if not self._thread_lock.acquire(timeout=timeout_s):
            raise DeadlineExceeded(
                f"{self._path}: another thread holds the lock for more than {timeout_s:g} s"
            )
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._path.with_name(self._path.name + ".lock").open("a+b") as lock:
                _take(lock.fileno(), deadline, self._path)
                book = self._read()
                alive = tuple(one for one in book.reservations if not one.owner.is_gone())
                writer = _Writer(self._path)
                if alive != book.reservations:
                    writer(alive)
                yield _Book(reservations=alive), writer
        finally:
            self._thread_lock.release()

    def _read(self) -> _Book:
        try:
            return _Book.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return _Book()
        except ValidationError as error:
            first = str(error).splitlines()[0]
            raise SageInferError(f"{self._path} is no book of reservations ({first}); remove it") from error


class _Writer:
    """Puts a new book in the old one's place at once, so that a killed writer leaves a whole one."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, reservations: tuple[Reservation, ...]) -> None:
        new = self._path.with_name(self._path.name + ".new")  # one writer at a time: the lock is held
        new.write_text(_Book(reservations=reservations).model_dump_json(), encoding="utf-8")
        new.replace(self._path)


def _take(descriptor: int, deadline: float, path: Path) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise DeadlineExceeded(f"{path}: another process holds the lock past the deadline") from None
            time.sleep(_POLL_S)
        else:
            return


def _require_room(device: str, nbytes: int | None, taken: list[Reservation], total_bytes: int | None) -> None:
    holders = ", ".join(
        f"process {one.owner.pid}{f' ({one.label})' if one.label else ''} holds "
        f"{'all of it' if one.nbytes is None else f'{one.nbytes} bytes'}"
        for one in taken
    )
    if taken and (nbytes is None or any(one.nbytes is None for one in taken)):
        raise CapacityExceeded(f"device {device} is reserved: {holders}")
    reserved = sum(one.nbytes or 0 for one in taken)
    if nbytes is not None and total_bytes is not None and reserved + nbytes > total_bytes:
        held = f"; {holders}" if holders else ""
        raise CapacityExceeded(
            f"device {device} has {total_bytes} bytes, {reserved} of them reserved; {nbytes} more do not fit{held}"
        )


class Hold:
    """A reservation of this process, given back by :meth:`close`, at the end of ``with``, or when the process ends.

    A forked child has a copy that gives nothing back: the reservation is its parent's.
    """

    def __init__(self, book: ReservationBook, entry: Reservation) -> None:
        self._book = book
        self.entry = entry
        self._closed = False
        self._lock = threading.Lock()

    def close(self) -> None:
        """Give the reservation back; idempotent."""
        with self._lock:
            if self._closed or os.getpid() != self.entry.owner.pid:
                return
            self._book.remove(self.entry)
            self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def reserved_bytes(
    entries: Mapping[str, list[Reservation]], device: str, total_bytes: int | None
) -> int | None:
    """Return how much of a device is reserved; null if all of a device of unknown size is."""
    taken = entries.get(device, [])
    if any(one.nbytes is None for one in taken):
        return total_bytes
    return sum(one.nbytes or 0 for one in taken)
