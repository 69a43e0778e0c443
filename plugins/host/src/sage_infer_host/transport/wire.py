"""Connections: bounded messages, and a handshake in which both ends prove that they know the credential.

The sender proves itself first, so a stranger learns nothing but a nonce. HMAC-SHA256 over both nonces and the role
keeps a proof from serving twice or in the other direction. What follows is neither encrypted nor signed: the handshake
keeps strangers out, not a listener on the wire.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import os
import socket
from typing import Any

_GREETING = b"sage-infer-transport/1\n"
_NONCE_BYTES = 32
_PROOF_BYTES = hashlib.sha256().digest_size
MESSAGE_BYTES = 1024 * 1024
"""Most bytes of one message; a list of regions is what can be long."""


class Refused(Exception):
    """One end will not go on; the message says why."""


class Connection:
    """A connected socket on the engine's event loop; only coroutines of that loop use it."""

    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        self.socket = connected
        self._loop = asyncio.get_running_loop()
        self._partial = bytearray()

    async def send(self, data: bytes | memoryview) -> None:
        """Send everything."""
        await self._loop.sock_sendall(self.socket, data)

    async def receive(self, nbytes: int) -> bytes:
        """Receive exactly ``nbytes``, never more; raises EOFError when the peer ends before.

        A call that is cancelled loses nothing: the next one goes on where it stopped.
        """
        while len(self._partial) < nbytes:
            data = await self._loop.sock_recv(self.socket, nbytes - len(self._partial))
            if not data:
                raise EOFError("the peer closed the connection")
            self._partial += data
        taken = bytes(self._partial[:nbytes])
        del self._partial[:nbytes]
        return taken

    async def readable(self) -> None:
        """Wait until something can be received."""
        ready = self._loop.create_future()
        self._loop.add_reader(self.socket, _tell, ready)
        try:
            await ready
        finally:
            self._loop.remove_reader(self.socket)

    async def writable(self) -> None:
        """Wait until something can be sent."""
        ready = self._loop.create_future()
        self._loop.add_writer(self.socket, _tell, ready)
        try:
            await ready
        finally:
            self._loop.remove_writer(self.socket)

    async def send_message(self, **message: object) -> None:
        """Send one message."""
        data = json.dumps(message, separators=(",", ":")).encode()
        await self.send(len(data).to_bytes(4, "big") + data)

    async def receive_message(self) -> dict[str, Any]:
        """Receive one message; raises :class:`Refused` for one that is too long or none at all."""
        nbytes = int.from_bytes(await self.receive(4), "big")
        if nbytes > MESSAGE_BYTES:
            raise Refused(f"a message of {nbytes} bytes, at most {MESSAGE_BYTES} are taken")
        try:
            message = json.loads(await self.receive(nbytes))
        except ValueError as error:
            raise Refused("a message that is no JSON") from error
        if not isinstance(message, dict):
            raise Refused("a message that is no object")
        return message

    def end_sending(self) -> None:
        """Let the peer see an end, and still hear what it says."""
        with contextlib.suppress(OSError):  # the peer was faster; its end is seen by whoever receives
            self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Free the socket."""
        self.socket.close()


def _tell(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def _proof(credential: bytes, role: bytes, nonces: bytes) -> bytes:
    return hmac.digest(credential, _GREETING + role + nonces, hashlib.sha256)


async def admit(connection: Connection, credential: bytes) -> None:
    """Let the sender prove itself, then prove this end to it; raises :class:`Refused`."""
    mine = os.urandom(_NONCE_BYTES)
    await connection.send(_GREETING + mine)
    nonces = mine + await connection.receive(_NONCE_BYTES)
    shown = await connection.receive(_PROOF_BYTES)
    if not hmac.compare_digest(shown, _proof(credential, b"sender", nonces)):
        raise Refused("the credential of the sender is wrong")
    await connection.send(_proof(credential, b"receiver", nonces))


async def knock(connection: Connection, credential: bytes) -> None:
    """Prove this end to the receiver, and have it prove itself; raises :class:`Refused`."""
    if await connection.receive(len(_GREETING)) != _GREETING:
        raise Refused("the receiver speaks another protocol")
    nonces = await connection.receive(_NONCE_BYTES) + os.urandom(_NONCE_BYTES)
    await connection.send(nonces[_NONCE_BYTES:] + _proof(credential, b"sender", nonces))
    try:
        shown = await connection.receive(_PROOF_BYTES)
    except (EOFError, ConnectionError) as error:
        raise Refused("the receiver does not take the credential of this end") from error
    if not hmac.compare_digest(shown, _proof(credential, b"receiver", nonces)):
        raise Refused("the credential of the receiver is wrong")
