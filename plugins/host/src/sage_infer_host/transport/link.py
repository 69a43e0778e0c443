"""What differs between transports: how ends are reached, and how bytes get from one to the other."""

from __future__ import annotations

import ctypes
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from sage_infer_contracts.memory import MemoryRegion

from .wire import Connection

STEP_BYTES = 1024 * 1024
"""Bytes moved at a time: between two of them leases and deadlines are looked at."""

Guard = Callable[[], AbstractContextManager[None]]
"""What every write into memory is wrapped in."""

SocketAddress = tuple[str, int] | str
"""Host and port, or the name of a local socket."""


class Link(Protocol):
    """One way to connect two ends."""

    kind: str

    def listen(self) -> tuple[socket.socket, str]:
        """Return a listening socket and the address that peers use."""
        ...

    def check_address(self, address: str) -> None:
        """Raise ``InvalidRequest`` for what is no address."""
        ...

    def open(self, address: str) -> tuple[socket.socket, SocketAddress]:
        """Return an unconnected socket and what to connect it to."""
        ...

    def check_peer(self, connected: socket.socket) -> None:
        """Refuse a peer by what the kernel knows of it."""
        ...

    async def send(
        self, connection: Connection, regions: Sequence[MemoryRegion], count: Callable[[int], None]
    ) -> None:
        """Send the bytes of ``regions`` and a checksum; tell ``count`` how many went."""
        ...

    async def receive(self, connection: Connection, regions: Sequence[MemoryRegion], guard: Guard) -> bool:
        """Write what comes into ``regions``, each step under ``guard``; return whether the checksum is right."""
        ...

    def close(self) -> None:
        """Remove what ``listen`` left in the file system."""
        ...


def view(address: int, nbytes: int) -> memoryview:
    """Return the bytes at ``address``, writable. The caller of the engine keeps them alive."""
    return memoryview((ctypes.c_char * nbytes).from_address(address)).cast("B")


def steps(regions: Sequence[MemoryRegion]) -> Iterator[memoryview]:
    """Yield views that cover the regions in order, a step at a time."""
    for region in regions:
        for offset in range(0, region.nbytes, STEP_BYTES):
            yield view(region.address + offset, min(STEP_BYTES, region.nbytes - offset))
