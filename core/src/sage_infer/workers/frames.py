"""Length-prefixed msgpack frames: four bytes of length, big-endian, then one msgpack value."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import msgpack

from sage_infer_contracts.errors import CapacityExceeded, IntegrityError

MAX_FRAME_BYTES = 64 * 1024 * 1024
READ_BUFFER_BYTES = 1024 * 1024
_LENGTH = struct.Struct(">I")


def pack(value: object) -> bytes:
    """Return ``value`` as msgpack; raises ``IntegrityError`` for what is not plain data."""
    try:
        return bytes(msgpack.packb(value, use_bin_type=True))
    except (TypeError, ValueError, OverflowError) as error:
        raise IntegrityError(f"not plain data, cannot cross a process boundary: {error}") from error


def frame(payload: bytes, *, limit_bytes: int = MAX_FRAME_BYTES) -> bytes:
    """Return ``payload`` with its length in front; raises ``CapacityExceeded`` above the limit."""
    if len(payload) > limit_bytes:
        raise CapacityExceeded(
            f"a message of {len(payload)} bytes is above the {limit_bytes} bytes a worker frame may have; "
            "send less at once"
        )
    return _LENGTH.pack(len(payload)) + payload


def unpack(payload: bytes) -> Any:
    """Return the value of one frame; raises ``IntegrityError`` for anything but exactly one msgpack value."""
    try:
        return msgpack.unpackb(payload, raw=False, strict_map_key=False)
    # msgpack raises its own types, ValueError and, for deep nesting, RecursionError-like ones of its own.
    except (ValueError, msgpack.exceptions.UnpackException, RecursionError) as error:
        raise IntegrityError(f"a worker frame is not msgpack: {type(error).__name__}: {error}") from error


async def read_frame(reader: asyncio.StreamReader, *, limit_bytes: int = MAX_FRAME_BYTES) -> Any:
    """Return the next value, or raise ``EOFError`` when the peer is gone; ``IntegrityError`` for a bad frame."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        if length > limit_bytes:
            raise IntegrityError(
                f"a worker frame announces {length} bytes; at most {limit_bytes} are allowed"
            )
        payload = await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise EOFError("the peer closed the connection") from error
    return unpack(payload)
