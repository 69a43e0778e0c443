"""The receiving half of an engine: who may connect, and what becomes of what they send."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Sequence
from typing import Any

from sage_infer_contracts.memory import MemoryRegion

from .leases import Lease, LeaseTable
from .link import Link
from .wire import Connection, Refused, admit

_HANDSHAKE_S = 5.0
_STRANGERS = 64
"""Connections that have not shown the credential yet; more are closed at once."""
_LONGEST_S = 24 * 3600.0


class Receiver:
    """Serves connections on the engine's event loop."""

    def __init__(self, link: Link, credential: bytes, leases: LeaseTable, listening: socket.socket) -> None:
        self._link = link
        self._credential = credential
        self._leases = leases
        self._listening = listening
        self._strangers = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        """Accept until cancelled; then end every connection."""
        loop = asyncio.get_running_loop()
        self._listening.setblocking(False)
        try:
            while True:
                try:
                    connected, _ = await loop.sock_accept(self._listening)
                except OSError:  # out of descriptors, or the peer left the queue: neither ends the service
                    await asyncio.sleep(0.05)
                    continue
                self._begin(connected)
        finally:
            self._listening.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, connected: socket.socket) -> None:
        if self._strangers >= _STRANGERS:
            connected.close()
            return
        task = asyncio.get_running_loop().create_task(self._converse(Connection(connected)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _converse(self, connection: Connection) -> None:
        try:
            header = await self._meet(connection)
            await self._take_in(connection, header)
        except (Refused, EOFError, OSError, TimeoutError):
            pass  # a stranger, or a peer that has gone or was told why: the sender's handle carries the failure
        finally:
            connection.close()

    async def _meet(self, connection: Connection) -> dict[str, Any]:
        self._strangers += 1
        try:
            async with asyncio.timeout(_HANDSHAKE_S):
                self._link.check_peer(connection.socket)
                await admit(connection, self._credential)
                return await connection.receive_message()
        finally:
            self._strangers -= 1

    async def _take_in(self, connection: Connection, header: dict[str, Any]) -> None:
        task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        assert task is not None
        try:
            name, generation, deadline_s, regions = _read_header(header)
            lease = self._leases.take(
                name, generation, regions, lambda: loop.call_soon_threadsafe(task.cancel)
            )
        except Refused as refusal:
            await connection.send_message(refused=str(refusal))
            return
        left_s = min(deadline_s, lease.ends_at - time.monotonic())
        try:
            async with asyncio.timeout(max(0.0, left_s)):
                verdict = await self._fill(connection, lease, regions)
        finally:
            self._leases.end(lease)
        async with asyncio.timeout(_HANDSHAKE_S):
            await connection.send_message(**verdict)

    async def _fill(
        self, connection: Connection, lease: Lease, regions: Sequence[MemoryRegion]
    ) -> dict[str, object]:
        """Return what to tell the sender."""
        await connection.send_message(go=True)
        try:
            intact = await self._link.receive(connection, regions, lambda: self._leases.writing(lease))
        except Refused as refusal:
            return {"refused": str(refusal)}
        except EOFError:
            return {"dropped": True}
        return {"done": True} if intact else {"refused": "the checksum is wrong"}


def _read_header(header: dict[str, Any]) -> tuple[str, int, float, list[MemoryRegion]]:
    try:
        regions = [MemoryRegion(device="cpu", address=a, nbytes=n) for a, n in header["regions"]]
        deadline_s = min(float(header["deadline_s"]), _LONGEST_S)
        return str(header["lease"]), int(header["generation"]), deadline_s, regions
    except (KeyError, TypeError, ValueError) as error:
        raise Refused(f"malformed request: {type(error).__name__}") from error
