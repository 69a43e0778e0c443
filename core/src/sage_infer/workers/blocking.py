"""A second, blocking line to a worker, for the one method of the contract that is not asynchronous."""

from __future__ import annotations

import socket
import struct
from typing import Any

from sage_infer_contracts.errors import BackendUnavailable, DeadlineExceeded, IntegrityError, error_from_wire

from .frames import MAX_FRAME_BYTES, frame, pack, unpack
from .messages import Message

_LENGTH = struct.Struct(">I")


class BlockingLine:
    """One call at a time, blocking the calling thread (and its loop) until the answer or the deadline."""

    def __init__(self, connection: socket.socket, label: str) -> None:
        self._connection = connection
        self._label = label

    def call(self, method: str, *args: object, timeout_s: float) -> Any:
        """Run ``method`` in the worker and return its plain result; raises as :meth:`Connection.call` does."""
        try:
            self._connection.settimeout(timeout_s)
            self._connection.sendall(frame(pack([int(Message.CALL), 0, method, list(args)])))
            (length,) = _LENGTH.unpack(self._receive(_LENGTH.size))
            if length > MAX_FRAME_BYTES:
                raise IntegrityError(f"a worker frame announces {length} bytes")
            kind, _, value = unpack(self._receive(length))
        except TimeoutError:
            self.close()  # a late answer must not be taken for that of the next call
            raise DeadlineExceeded(
                f"the worker of {self._label} did not answer {method} within {timeout_s:g} s"
            ) from None
        except OSError as error:
            raise BackendUnavailable(f"the worker of {self._label} is gone: {error}") from None
        if kind == Message.ERROR:
            raise error_from_wire(value)
        return value

    def close(self) -> None:
        """Close the socket; idempotent."""
        self._connection.close()

    def _receive(self, count: int) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            part = self._connection.recv(count - len(parts))
            if not part:
                raise BackendUnavailable(f"the worker of {self._label} is gone")
            parts += part
        return bytes(parts)
