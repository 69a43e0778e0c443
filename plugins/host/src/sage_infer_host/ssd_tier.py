"""The tier ``ssd``: a file for each block in one folder, each with a checksum. What it stored is there again next time.

A file is written aside and renamed, so it is whole or not there after a kill. Nothing is synced: after a loss of power
a torn file is found out by its checksum, as any damage is, and dropped. Its name tells its namespace's digest, its key,
its length and its turn, so the index is made from the names and lengths alone: starting reads no block.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import itertools
import os
import shutil
import struct
import threading
import zlib
from collections.abc import Sequence
from pathlib import Path

import attrs

from sage_infer_contracts.capabilities import Capability
from sage_infer_contracts.content import ContentKey
from sage_infer_contracts.devices import MemoryTierSpec
from sage_infer_contracts.errors import DeviceUnavailable
from sage_infer_contracts.memory import MemoryRegion
from sage_infer_contracts.store import BlockOutcome, TierUsage
from sage_infer_contracts.tiers.transfers import CHUNK_BYTES, Copy, Crew
from sage_infer_contracts.tiers.volatile import require_capacity

_STORED, _HIT, _MISSING, _PRESENT = (BlockOutcome(it) for it in ("stored", "hit", "missing", "present"))
_HEAD = struct.Struct("<8s32sQIII")
"""Magic, key, length and checksum of the block, length of the namespace, checksum of all that and of the namespace."""
_MAGIC = b"sagekv1\n"
_PART = ".part"
_UNREADABLE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EIO, errno.ENODEV, errno.ENXIO, errno.ESTALE})
"""What says that a block is lost; other errors, such as too many open files, pass."""
Slot = tuple[str, ContentKey]
"""Digest of the namespace, and key."""


class _Damaged(Exception):
    """A file does not hold what its name says."""


@attrs.frozen(slots=True, eq=False)
class _File:
    """One block's file."""

    slot: Slot
    nbytes: int
    turn: int

    @property
    def name(self) -> str:
        """Its path in the tier's folder."""
        return f"{self.slot[0]}/{self.slot[1].hex()}-{self.nbytes:x}-{self.turn:x}"


class SsdTier:
    """Blocks in files below ``path``, which belongs to one tier at a time."""

    def __init__(
        self,
        *,
        capacity_bytes: int,
        path: str | os.PathLike[str],
        workers: int = 4,
        max_pending: int = 65_536,
    ) -> None:
        require_capacity(capacity_bytes)
        self._capacity = capacity_bytes
        self._folder = os.fspath(path)
        self._crew = Crew("ssd", workers=workers, max_pending=max_pending)
        self._lock = threading.Lock()
        self._files: dict[Slot, _File] = {}
        self._moving: dict[Slot, int] = {}
        self._stored_bytes = 0
        self._lost: list[tuple[str, ContentKey, str]] = []
        self._bounce = threading.local()
        self._in_use = _lock_folder(self._folder)
        try:
            last = self._recover()
        except OSError as error:
            os.close(self._in_use)
            raise DeviceUnavailable(f"{self._folder} cannot be read: {error}", reason="unreadable") from error
        self._turns = itertools.count(last + 1)

    @property
    def capabilities(self) -> frozenset[str]:
        """It is persistent."""
        return frozenset({Capability.TIER_PERSISTENT})

    def spec(self) -> MemoryTierSpec:
        """Describe the tier; bandwidth is not measured here."""
        room = self._capacity - self._taken_bytes()
        with contextlib.suppress(OSError):
            room = min(room, shutil.disk_usage(self._folder).free)
        return MemoryTierSpec(
            name="ssd",
            capacity_bytes=self._capacity,
            available_bytes=max(0, room),
            persistent=True,
            path=self._folder,
        )

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
        """Say which blocks are in the index."""
        self._crew.check_open()
        digest = _digest(namespace)
        with self._lock:
            return [(digest, key) in self._files for key in keys]

    def remove(self, namespace: str, keys: Sequence[ContentKey]) -> int:
        """Drop blocks and their files."""
        self._crew.check_open()
        digest = _digest(namespace)
        return sum(self._drop((digest, key)) for key in keys)

    def take_lost(self) -> list[tuple[str, ContentKey, str]]:
        """Return blocks whose files were damaged or cannot be read, once each."""
        with self._lock:
            lost, self._lost = self._lost, []
            return lost

    def usage(self) -> TierUsage:
        """Return what is held."""
        with self._lock:
            return TierUsage(blocks=len(self._files), bytes=self._stored_bytes, capacity_bytes=self._capacity)

    def close(self) -> None:
        """Stop; the files stay."""
        if self._crew.close():
            os.close(self._in_use)

    def _put(self, copy: Copy) -> None:
        slot, nbytes = (_digest(copy.name[0]), copy.name[1]), copy.region.nbytes
        with self._lock:
            present, moving = slot in self._files, slot in self._moving
            fits = self._stored_bytes + sum(self._moving.values()) + nbytes <= self._capacity
            if fits and not present and not moving:
                self._moving[slot] = nbytes
        if present:
            copy.end(_PRESENT)
        elif moving or not fits:
            copy.refuse("another thread is storing or removing it" if moving else "full")
        else:
            self._store(copy, _File(slot, nbytes, next(self._turns)))

    def _store(self, copy: Copy, file: _File) -> None:
        """Write aside, rename, and show it, unless its time is up by then."""
        path = os.path.join(self._folder, file.name)
        stored = False
        try:
            self._write(copy, path + _PART)
            os.rename(path + _PART, path)
            stored = copy.end(_STORED, lambda: self._show(file))
        except OSError as error:
            copy.refuse(str(error))
        finally:
            if not stored:
                _unlink(path + _PART, path)
                with self._lock:
                    del self._moving[file.slot]

    def _write(self, copy: Copy, path: str) -> None:
        address, view = self._chunk()
        namespace = copy.name[0].encode("utf-8", "surrogatepass")
        start, checksum = _HEAD.size + len(namespace), 0
        descriptor = _create(path)
        try:
            for offset in range(0, copy.region.nbytes, CHUNK_BYTES):
                part = view[: min(CHUNK_BYTES, copy.region.nbytes - offset)]
                copy.move(offset, address, len(part), into_region=False)
                checksum = zlib.crc32(part, checksum)
                _write_all(descriptor, part, start + offset)
            head = _head(copy.name[1], namespace, copy.region.nbytes, checksum)
            _write_all(descriptor, memoryview(head), 0)
        finally:
            os.close(descriptor)

    def _show(self, file: _File) -> None:
        with self._lock:
            del self._moving[file.slot]
            self._files[file.slot] = file
            self._stored_bytes += file.nbytes

    def _get(self, copy: Copy) -> None:
        slot = (_digest(copy.name[0]), copy.name[1])
        with self._lock:
            file = self._files.get(slot)
        if file is None:
            copy.end(_MISSING)
        elif file.nbytes != copy.region.nbytes:
            copy.refuse(f"the block has {file.nbytes} bytes, the region {copy.region.nbytes}")
        else:
            try:
                self._read(copy, file)
                copy.end(_HIT)
            except _Damaged as damage:
                self._lose(copy, file, str(damage))
            except OSError as error:
                if error.errno in _UNREADABLE:
                    self._lose(copy, file, str(error))
                else:
                    copy.refuse(str(error))

    def _read(self, copy: Copy, file: _File) -> None:
        address, view = self._chunk()
        namespace = copy.name[0].encode("utf-8", "surrogatepass")
        descriptor = os.open(os.path.join(self._folder, file.name), os.O_RDONLY | os.O_CLOEXEC)
        try:
            expected = _expected(
                os.read(descriptor, _HEAD.size + len(namespace)), copy.name[1], namespace, file.nbytes
            )
            checksum = 0
            for offset in range(0, file.nbytes, CHUNK_BYTES):
                part = view[: min(CHUNK_BYTES, file.nbytes - offset)]
                _read_all(descriptor, part)
                checksum = zlib.crc32(part, checksum)
                copy.move(offset, address, len(part), into_region=True)
        finally:
            os.close(descriptor)
        if checksum != expected:
            raise _Damaged("the checksum is wrong")

    def _lose(self, copy: Copy, file: _File, reason: str) -> None:
        """Drop a block and report it, unless its owner removed it in the meantime."""
        if self._drop(file.slot, file):
            with self._lock:
                self._lost.append((*copy.name, reason))
            copy.end(BlockOutcome("corrupt", reason))
        else:
            copy.end(_MISSING)

    def _drop(self, slot: Slot, only: _File | None = None) -> bool:
        """Forget a block, then remove its file; its room is free when the file is gone."""
        with self._lock:
            file = self._files.get(slot)
            if file is None or (only is not None and file is not only):
                return False
            del self._files[slot]
            self._stored_bytes -= file.nbytes
            self._moving[slot] = file.nbytes
        _unlink(os.path.join(self._folder, file.name))
        with self._lock:
            del self._moving[slot]
        return True

    def _taken_bytes(self) -> int:
        with self._lock:
            return self._stored_bytes + sum(self._moving.values())

    def _chunk(self) -> tuple[int, memoryview]:
        """Return this thread's memory for one chunk."""
        if not hasattr(self._bounce, "view"):
            memory = bytearray(CHUNK_BYTES)
            self._bounce.address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
            self._bounce.view = memoryview(memory)
        return self._bounce.address, self._bounce.view

    def _recover(self) -> int:
        """Make the index; drop what was not finished, is too short or does not fit. Returns the last turn."""
        last = 0
        for folder in os.scandir(self._folder):
            for entry in sorted(os.scandir(folder.path), key=lambda it: it.name) if folder.is_dir() else ():
                file = _parse(folder.name, entry.name.removesuffix(_PART))
                if file is None:  # somebody else's file
                    continue
                if entry.name.endswith(_PART):
                    _unlink(entry.path)
                    continue
                last = max(last, file.turn)
                self._adopt(file, entry)
        return last

    def _adopt(self, file: _File, entry: os.DirEntry[str]) -> None:
        size = entry.stat().st_size
        older = self._files.get(file.slot)
        if older is not None and older.turn > file.turn:
            _unlink(entry.path)
            return
        if older is not None:
            self._forget(older)
        if size < _HEAD.size + file.nbytes or self._stored_bytes + file.nbytes > self._capacity:
            reason = (
                "its file is too short" if size < _HEAD.size + file.nbytes else "the capacity is smaller now"
            )
            namespace = _namespace_of(entry.path)
            if namespace is not None:
                self._lost.append((namespace, file.slot[1], reason))
            _unlink(entry.path)
            return
        self._files[file.slot] = file
        self._stored_bytes += file.nbytes

    def _forget(self, file: _File) -> None:
        del self._files[file.slot]
        self._stored_bytes -= file.nbytes
        _unlink(os.path.join(self._folder, file.name))


def _digest(namespace: str) -> str:
    return hashlib.sha256(namespace.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _head(key: ContentKey, namespace: bytes, nbytes: int, checksum: int) -> bytes:
    bare = _HEAD.pack(_MAGIC, key, nbytes, checksum, len(namespace), 0)
    return _HEAD.pack(_MAGIC, key, nbytes, checksum, len(namespace), zlib.crc32(bare + namespace)) + namespace


def _expected(head: bytes, key: ContentKey, namespace: bytes, nbytes: int) -> int:
    """Return the checksum that the block must have; raises :class:`_Damaged` unless it is this block's file."""
    if len(head) >= _HEAD.size:
        checksum: int = _HEAD.unpack_from(head)[3]
        if head == _head(key, namespace, nbytes, checksum):
            return checksum
    raise _Damaged("its head is damaged, or it is the file of another block")


def _namespace_of(path: str) -> str | None:
    """Return the namespace that the head of a file names, if it can be read."""
    try:
        with Path(path).open("rb") as file:
            fields = _HEAD.unpack(file.read(_HEAD.size))
            namespace = file.read(min(fields[4], 1 << 20)).decode("utf-8", "surrogatepass")
    except (OSError, struct.error, UnicodeDecodeError):
        return None
    return namespace


def _parse(folder: str, name: str) -> _File | None:
    """Return which block a file is of by its name, or None."""
    key, _, rest = name.partition("-")
    nbytes, _, turn = rest.partition("-")
    try:
        file = _File((folder, ContentKey(bytes.fromhex(key))), int(nbytes, 16), int(turn, 16))
    except ValueError:
        return None
    return file if file.name == f"{folder}/{name}" and file.nbytes > 0 else None


def _lock_folder(folder: str) -> int:
    """Make the folder and take it; the lock goes with the process, however it ends."""
    try:
        os.makedirs(folder, exist_ok=True)
        descriptor = os.open(os.path.join(folder, "in-use"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise DeviceUnavailable(f"{folder} cannot be used: {error}", reason="unwritable") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise DeviceUnavailable(f"another tier uses {folder}", reason="in_use") from error
    return descriptor


def _create(path: str) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o600)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return os.open(path, flags, 0o600)


def _write_all(descriptor: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written


def _read_all(descriptor: int, into: memoryview) -> None:
    while into:
        count = os.readv(descriptor, [into])
        if not count:
            raise _Damaged("its file is too short")
        into = into[count:]


def _unlink(*paths: str) -> None:
    """Remove files; what a device refuses to remove stays, and no index names it."""
    for path in paths:
        with contextlib.suppress(OSError):
            os.unlink(path)
