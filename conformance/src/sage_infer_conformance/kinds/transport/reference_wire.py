"""How the reference's ends talk: a connection for each transfer, on which both prove that they know the credential."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import socket
import time

_NONCE_BYTES = 32
_MESSAGE_BYTES = 1024 * 1024
Message = dict[str, object]


class Refused(Exception):
    """One side will not go on; the message says why."""


class Channel:
    """A connection that is given up at ``until``, by the monotonic clock. Used by one thread; any may break it."""

    def __init__(self, connection: socket.socket, until: float) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connection
        self.until = until

    def send(self, data: bytes | memoryview) -> None:
        """Send everything."""
        self._arm()
        self._socket.sendall(data)

    def receive(self, nbytes: int) -> bytes:
        """Receive exactly ``nbytes``; raises EOFError when there are fewer."""
        parts = bytearray()
        while len(parts) < nbytes:
            self._arm()
            data = self._socket.recv(nbytes - len(parts))
            if not data:
                raise EOFError("the peer has gone")
            parts += data
        return bytes(parts)

    def send_message(self, **message: object) -> None:
        """Send one message."""
        data = json.dumps(message).encode()
        self.send(len(data).to_bytes(4, "big") + data)

    def receive_message(self) -> Message:
        """Receive one message of at most a mebibyte."""
        nbytes = int.from_bytes(self.receive(4), "big")
        if nbytes > _MESSAGE_BYTES:
            raise Refused(f"a message of {nbytes} bytes")
        message: Message = json.loads(self.receive(nbytes))
        return message

    def end_sending(self) -> None:
        """Let the other side see an end, and still hear what it says."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def sever(self) -> None:
        """Break the connection; whoever waits on it comes back."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Free the connection."""
        self._socket.close()

    def _arm(self) -> None:
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline passed")
        self._socket.settimeout(left)


def proof(credential: str, role: bytes, nonces: bytes) -> bytes:
    """Return what shows that ``role`` knows the credential."""
    return hmac.digest(credential.encode(), role + nonces, hashlib.sha256)


def admit(channel: Channel, credential: str) -> None:
    """Let a sender prove itself first, then prove oneself to it; raises :class:`Refused`."""
    mine = os.urandom(_NONCE_BYTES)
    channel.send(mine)
    nonces = mine + channel.receive(_NONCE_BYTES)
    shown = channel.receive(hashlib.sha256().digest_size)
    if not hmac.compare_digest(shown, proof(credential, b"sender", nonces)):
        raise Refused("the credential is wrong")
    channel.send(proof(credential, b"receiver", nonces))


def knock(channel: Channel, credential: str) -> None:
    """Prove oneself to a receiver, and have it prove itself; raises :class:`Refused`."""
    theirs = channel.receive(_NONCE_BYTES)
    nonces = theirs + os.urandom(_NONCE_BYTES)
    channel.send(nonces[_NONCE_BYTES:] + proof(credential, b"sender", nonces))
    shown = channel.receive(hashlib.sha256().digest_size)
    if not hmac.compare_digest(shown, proof(credential, b"receiver", nonces)):
        raise Refused("the credential of the receiver is wrong")
