"""Finds the sockets and shared files of this process, to break or to watch them; it knows no engine."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

_DESCRIPTORS = Path("/dev/fd")
_MAPS = Path("/proc/self/maps")
_SHARED = "/dev/shm/"
_CONNECT_S = 2.0


def _sockets() -> Iterator[socket.socket]:
    """Yield a duplicate of every socket that is open here."""
    for name in os.listdir(_DESCRIPTORS):
        with contextlib.suppress(OSError):
            descriptor = int(name)
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                with socket.socket(fileno=os.dup(descriptor)) as found:
                    yield found


def cut_connections() -> int:
    """Break every connection; pairs without a name are the process's own wires and stay."""
    cut = 0
    for found in _sockets():
        with contextlib.suppress(OSError):
            peer = found.getpeername()
            if peer or found.getsockname():
                found.shutdown(socket.SHUT_RDWR)
                cut += 1
    return cut


def send_garbage(seed: int, nbytes: int) -> list[socket.socket]:
    """Connect to every socket that listens, send noise, and return the connections, still open."""
    noise = random.Random(seed)
    held: list[socket.socket] = []
    for found in _sockets():
        with contextlib.suppress(OSError):
            if found.type != socket.SOCK_STREAM or not found.getsockopt(
                socket.SOL_SOCKET, socket.SO_ACCEPTCONN
            ):
                continue
            stranger = socket.socket(found.family, socket.SOCK_STREAM)
            held.append(stranger)
            stranger.settimeout(_CONNECT_S)
            stranger.connect(found.getsockname())
            stranger.sendall(noise.randbytes(nbytes))
    return held


def named_files() -> set[str]:
    """Return the shared-memory files and the sockets in the file system that this process has now."""
    names: set[str] = set()
    with contextlib.suppress(OSError):
        lines = _MAPS.read_text(errors="replace").splitlines()
        names |= {path for line in lines if _SHARED in line and (path := line.split(maxsplit=5)[-1])}
    for found in _sockets():
        with contextlib.suppress(OSError):
            name = found.getsockname()
            if found.family == socket.AF_UNIX and isinstance(name, str) and name.startswith("/"):
                names.add(name)
    for name in os.listdir(_DESCRIPTORS):
        with contextlib.suppress(OSError):
            target = os.readlink(_DESCRIPTORS / name)
            if target.startswith(_SHARED):
                names.add(target)
    return {name for name in names if not name.endswith("(deleted)")}
