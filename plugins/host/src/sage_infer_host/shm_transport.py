"""The transport ``shm``: KV between processes of one user on one machine, through shared memory without a name.

The sender fills a file in memory that never had a name and passes its descriptor over a local socket; the receiver
reads from it. So there is nothing to guess, nothing that another user could open, and nothing left after a crash.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import socket
import struct
import sys
import tempfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

from sage_infer_contracts.errors import DeviceUnavailable, InvalidRequest
from sage_infer_contracts.memory import MemoryRegion

from .transport.engine import StreamTransport
from .transport.link import Guard, SocketAddress, steps
from .transport.wire import Connection, Refused

_BACKLOG = 128
_SHARED = Path("/dev/shm")  # where Linux keeps files in memory
_PATH_BYTES = 100
"""Most systems take about as many in the name of a local socket."""
_CHECKSUM_BYTES = 4
_HERE_IS_A_FILE = b"F"


class ShmTransport(StreamTransport):
    """Addresses are names of local sockets: a path, or ``@name`` for Linux's names outside the file system.

    ``listen``: the name to use; by default one that nobody can guess.
    """

    def __init__(
        self, max_inflight_bytes: int = 256 * 1024 * 1024, credential: str = "", listen: str | None = None
    ) -> None:
        super().__init__(ShmLink(listen), max_inflight_bytes, credential)


class ShmLink:
    """Bytes go through a file in memory, their CRC-32 and its descriptor through a local socket."""

    kind = "shm"

    def __init__(self, listen: str | None) -> None:
        self._listen = listen
        self._folder: str | None = None
        self._path: str | None = None

    def listen(self) -> tuple[socket.socket, str]:
        """Listen under a name that only this user can connect to."""
        address = self._listen or self._fresh_name()
        listening, name = self.open(address)
        try:
            listening.bind(name)
            if not address.startswith("@"):
                self._path = address
                os.chmod(address, 0o600)
            listening.listen(_BACKLOG)
        except OSError as error:
            listening.close()
            self.close()
            raise DeviceUnavailable(f"cannot listen at {address!r}: {error}") from error
        return listening, address

    def _fresh_name(self) -> str:
        if sys.platform == "linux":
            return f"@sage-infer-{os.getpid()}-{secrets.token_hex(8)}"
        self._folder = tempfile.mkdtemp(prefix="sage-infer-")
        return f"{self._folder}/socket"

    def check_address(self, address: str) -> None:
        """Refuse what cannot be the name of a local socket."""
        if not address or "\0" in address or len(os.fsencode(address)) > _PATH_BYTES:
            raise InvalidRequest(f"{address!r} is no name of a local socket", param="destination")

    def open(self, address: str) -> tuple[socket.socket, SocketAddress]:
        """Return a local socket."""
        self.check_address(address)
        name = "\0" + address[1:] if address.startswith("@") else address
        return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), name

    def check_peer(self, connected: socket.socket) -> None:
        """Refuse processes of other users, where the kernel tells."""
        if not hasattr(socket, "SO_PEERCRED"):
            return
        size = struct.calcsize("3i")
        _, user, _ = struct.unpack("3i", connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
        if user not in (os.getuid(), 0):
            raise Refused(f"user {user} may not connect")

    async def send(
        self, connection: Connection, regions: Sequence[MemoryRegion], count: Callable[[int], None]
    ) -> None:
        """Fill a file, pass its descriptor, then the checksum."""
        folder = _SHARED if os.access(_SHARED, os.W_OK) else None
        with tempfile.TemporaryFile(buffering=0, dir=folder) as shared:
            checksum = offset = 0
            for step in steps(regions):
                checksum = zlib.crc32(step, checksum)
                await _write_whole(shared.fileno(), step, offset)
                offset += len(step)
                count(len(step))
            await connection.writable()
            socket.send_fds(connection.socket, [_HERE_IS_A_FILE], [shared.fileno()])
        await connection.send(checksum.to_bytes(_CHECKSUM_BYTES, "big"))

    async def receive(self, connection: Connection, regions: Sequence[MemoryRegion], guard: Guard) -> bool:
        """Read the file to where the bytes belong; it is read, not mapped, so a sender cannot pull it away."""
        descriptor = await _receive_descriptor(connection)
        try:
            expected = int.from_bytes(await connection.receive(_CHECKSUM_BYTES), "big")
            checksum = offset = 0
            for step in steps(regions):
                with guard():
                    nbytes = os.preadv(descriptor, [step], offset)
                if nbytes != len(step):
                    raise Refused("the shared memory is shorter than the plan")
                checksum = zlib.crc32(step, checksum)
                offset += nbytes
                await asyncio.sleep(0)
            return checksum == expected
        except OSError as error:
            raise Refused(f"the shared memory cannot be read: {error}") from error
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Remove the socket's name, where it has one in the file system."""
        if self._path is not None:
            Path(self._path).unlink(missing_ok=True)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


async def _write_whole(descriptor: int, data: memoryview, at: int) -> None:
    """Write all of ``data``, giving way to others after each piece."""
    while data:
        nbytes = os.pwritev(descriptor, [data], at)
        data, at = data[nbytes:], at + nbytes
        await asyncio.sleep(0)


async def _receive_descriptor(connection: Connection) -> int:
    await connection.readable()
    data, descriptors, _, _ = socket.recv_fds(connection.socket, len(_HERE_IS_A_FILE), 1)
    if not data:
        raise EOFError("the peer closed the connection")
    if len(descriptors) != 1 or data != _HERE_IS_A_FILE:
        for descriptor in descriptors:
            os.close(descriptor)
        raise Refused("no shared memory came")
    return descriptors[0]
