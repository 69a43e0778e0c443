"""Makes file operations below one folder fail, without touching the code that asks for them.

The functions of :mod:`os` and ``open`` are replaced in this process while a history runs. What reaches files by other
ways (memory maps, native libraries) does not notice; for those there are the limit on file sizes, damage and kills.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import resource
import signal
import threading
import time
from collections.abc import Callable
from typing import Any, Literal

import attrs

from .steps import Fault

STALL_S = 6.0
"""A call that is stuck comes back after this long, healed or not."""
Sort = Literal["open", "change", "write", "read", "look"]
_BY_PATH: dict[str, Sort] = {
    "open": "open",
    "mkdir": "change",
    "rename": "change",
    "replace": "change",
    "link": "change",
    "symlink": "change",
    "unlink": "change",
    "remove": "change",
    "rmdir": "change",
    "truncate": "write",
    "stat": "look",
    "lstat": "look",
    "listdir": "look",
    "scandir": "look",
}
_BY_DESCRIPTOR: dict[str, Sort] = {
    "write": "write",
    "writev": "write",
    "pwrite": "write",
    "pwritev": "write",
    "ftruncate": "write",
    "posix_fallocate": "write",
    "fsync": "write",
    "fdatasync": "write",
    "read": "read",
    "readv": "read",
    "pread": "read",
    "preadv": "read",
}
_GROWS = frozenset({"write", "writev", "pwrite", "pwritev", "posix_fallocate"})
_ERRORS: dict[str, int] = {
    "no_space": errno.ENOSPC,
    "read_only": errno.EROFS,
    "read_error": errno.EIO,
    "write_error": errno.EIO,
    "gone": errno.EIO,
}


@attrs.frozen(slots=True)
class _Call:
    """One file operation. ``half`` does a part of it, where that is possible."""

    name: str
    sort: Sort
    creates: bool
    half: Callable[[], object] | None = None


class Faults:
    """What is wrong with the file operations below ``folder``. Shared by the threads of the tier."""

    def __init__(self, folder: str) -> None:
        self._folder = os.path.realpath(folder)
        self._lock = threading.Lock()
        self._fault: Fault | None = None
        self._passed = 0
        self._stuck = 0
        self._healed = threading.Event()
        self._real: list[tuple[Any, str, Any]] = []
        self._limit: tuple[int, int] | None = None

    def install(self) -> None:
        """Put this between the tier and its files; before the tier opens any."""
        for name, sort in _BY_PATH.items():
            self._replace(os, name, self._around(name, sort, self._is_below_path))
        for name, sort in _BY_DESCRIPTOR.items():
            if hasattr(os, name):
                self._replace(os, name, self._around(name, sort, self._is_below_descriptor))
        real_open = builtins.open

        def opened(file: Any, mode: str = "r", *rest: Any, **named: Any) -> Any:
            below = self._is_below_descriptor(file) if isinstance(file, int) else self._is_below_path(file)
            return (
                open_through(self, file, mode, *rest, **named)
                if below
                else real_open(file, mode, *rest, **named)
            )

        self._replace(builtins, "open", opened)
        self._replace(io, "open", opened)

    def uninstall(self) -> None:
        """Undo everything."""
        self.heal()
        while self._real:
            owner, name, real = self._real.pop()
            setattr(owner, name, real)

    def arm(self, fault: Fault) -> None:
        """Let operations fail from now on."""
        if fault.kind == "clock":
            self._shift_clock(fault.seconds, time.perf_counter() + fault.delay_s)
            return
        self._passed = 0
        self._healed.clear()
        if fault.kind == "file_size":
            soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            self._limit = (soft, hard)
            resource.setrlimit(resource.RLIMIT_FSIZE, (fault.calls, hard))
        else:
            self._fault = fault

    def heal(self) -> None:
        """Let everything go well again, and wait until what was stuck has come back."""
        self._fault = None
        self._healed.set()
        if self._limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, self._limit)
            self._limit = None
        until = time.monotonic() + STALL_S
        while self._stuck and time.monotonic() < until:
            time.sleep(0.005)

    def _replace(self, owner: Any, name: str, by: Any) -> None:
        self._real.append((owner, name, getattr(owner, name)))
        setattr(owner, name, by)

    def _shift_clock(self, seconds: float, since: float) -> None:
        """Set the wall clock of this process at a time to come; the monotonic clocks go on as they must."""
        wall, wall_ns, now = time.time, time.time_ns, time.perf_counter
        self._replace(time, "time", lambda: wall() + (seconds if now() >= since else 0.0))
        self._replace(time, "time_ns", lambda: wall_ns() + (int(seconds * 1e9) if now() >= since else 0))

    def _is_below_path(self, path: Any) -> bool:
        if isinstance(path, int):
            return self._is_below_descriptor(path)
        try:
            text = os.fsdecode(path)
        except TypeError:
            return False
        return self._holds(os.path.abspath(text))

    def _is_below_descriptor(self, descriptor: Any) -> bool:
        try:
            return self._holds(os.readlink(f"/proc/self/fd/{int(descriptor)}"))
        except (OSError, TypeError, ValueError):
            return False

    def _holds(self, path: str) -> bool:
        return path == self._folder or path.startswith(self._folder + os.sep)

    def _around(self, name: str, sort: Sort, is_below: Callable[[Any], bool]) -> Callable[..., Any]:
        real = getattr(os, name)

        def call(where: Any = ".", *rest: Any, **named: Any) -> Any:
            if self._fault is None or not is_below(where):
                return real(where, *rest, **named)
            creates = sort == "open" and bool(
                (rest[0] if rest else named.get("flags", 0)) & (os.O_CREAT | os.O_ACCMODE)
            )
            half = _half_of(real, name, where, rest)
            return self.through(_Call(name, sort, creates, half), lambda: real(where, *rest, **named))

        return call

    def through(self, call: _Call, do: Callable[[], Any]) -> Any:
        """Do one operation as well as the fault lets it."""
        with self._lock:
            fault = self._fault
            self._passed += 1
            number = self._passed
        if fault is None or number <= (fault.calls if fault.kind != "kill" else 0):
            return do()
        if fault.kind == "kill":
            return self._die(fault, call, do) if number == fault.calls else do()
        if fault.kind in ("slow", "stall", "lag"):
            self._wait(fault)
            return do()
        if _fails(fault, call):
            if fault.kind in ("no_space", "write_error") and call.half is not None:
                call.half()
            raise OSError(_ERRORS[fault.kind], os.strerror(_ERRORS[fault.kind]))
        return do()

    def _wait(self, fault: Fault) -> None:
        with self._lock:
            self._stuck += 1
        try:
            self._healed.wait(STALL_S if fault.kind == "stall" else fault.seconds)
        finally:
            with self._lock:
                self._stuck -= 1

    def _die(self, fault: Fault, call: _Call, do: Callable[[], Any]) -> None:
        if fault.cut == "half" and call.half is not None:
            call.half()
        elif fault.cut == "after":
            do()
        os.kill(os.getpid(), signal.SIGKILL)


def _fails(fault: Fault, call: _Call) -> bool:
    """Say whether a device with this fault refuses this operation."""
    if fault.kind == "gone":
        return True
    if fault.kind == "read_only":
        return call.sort in ("write", "change") or call.creates
    if fault.kind == "no_space":
        return call.name in _GROWS or call.creates or call.name == "mkdir"
    if fault.kind == "write_error":
        return call.sort == "write"
    return fault.kind == "read_error" and call.sort == "read"


def _half_of(
    real: Callable[..., Any], name: str, where: Any, rest: tuple[Any, ...]
) -> Callable[[], object] | None:
    """Return what writes the first half of what was to be written."""
    if name in ("write", "pwrite") and rest:
        data = memoryview(rest[0]).cast("B")
        return lambda: real(where, data[: len(data) // 2], *rest[1:])
    if name in ("writev", "pwritev") and rest:
        whole = b"".join(bytes(part) for part in rest[0])
        return lambda: real(where, [whole[: len(whole) // 2]], *rest[1:])
    return None


class _File(io.FileIO):
    """A file object whose operations pass through :class:`Faults`."""

    def __init__(self, faults: Faults, file: Any, mode: str, closefd: bool, opener: Any) -> None:
        self._faults = faults
        creates = any(letter in mode for letter in "wxa+")
        start = super().__init__
        faults.through(_Call("open", "open", creates), lambda: start(file, mode, closefd, opener))

    def _through(
        self, name: str, sort: Sort, do: Callable[[], Any], half: Callable[[], object] | None = None
    ) -> Any:
        return self._faults.through(_Call(name, sort, False, half), do)

    def write(self, data: Any, /) -> int:
        """Write."""
        write = super().write
        view = memoryview(data).cast("B")
        written: int = self._through(
            "write", "write", lambda: write(data), lambda: write(view[: len(view) // 2])
        )
        return written

    def readinto(self, buffer: Any, /) -> int:
        """Read into a buffer."""
        readinto = super().readinto
        count: int = self._through("read", "read", lambda: readinto(buffer))
        return count

    def read(self, size: int | None = -1, /) -> bytes:
        """Read."""
        read = super().read
        data: bytes = self._through("read", "read", lambda: read(-1 if size is None else size))
        return data

    def readall(self) -> bytes:
        """Read to the end."""
        readall = super().readall
        data: bytes = self._through("read", "read", readall)
        return data

    def truncate(self, size: int | None = None, /) -> int:
        """Cut or lengthen."""
        truncate = super().truncate
        length: int = self._through("ftruncate", "write", lambda: truncate(size))
        return length


def open_through(
    faults: Faults,
    file: Any,
    mode: str = "r",
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    closefd: bool = True,
    opener: Any = None,
) -> Any:
    """Do what ``open`` does, with a raw file that passes through ``faults``."""
    raw = _File(faults, file, mode.replace("b", "").replace("t", ""), closefd, opener)
    if buffering == 0:
        return raw
    size = buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE
    buffered: Any
    if "+" in mode:
        buffered = io.BufferedRandom(raw, size)
    else:
        buffered = io.BufferedReader(raw, size) if "r" in mode else io.BufferedWriter(raw, size)
    if "b" in mode:
        return buffered
    return io.TextIOWrapper(buffered, encoding or "utf-8", errors, newline, buffering == 1)
