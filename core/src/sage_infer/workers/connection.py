"""The host's end of a worker's connection: calls with deadlines, streams without, and one way to fail them all."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable
from typing import Any, TypeVar

import attrs

from sage_infer_contracts.errors import (
    BackendUnavailable,
    DeadlineExceeded,
    IntegrityError,
    SageInferError,
    error_from_wire,
)
from sage_infer_contracts.streams import TokenStream

from .codec import delta_from_row, row_error
from .frames import frame, pack, read_frame
from .messages import Message

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


@attrs.define(slots=True)
class _Pending:
    answer: asyncio.Future[Any]
    decode: Callable[[Any], Any]


class Connection:
    """Multiplexes calls and streams. All methods belong to the loop that runs :meth:`read_forever`."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        label: str,
        on_stage: Callable[[str, float | None], None],
    ) -> None:
        self._reader, self._writer = reader, writer
        self._label = label
        self._on_stage = on_stage
        self._ids = itertools.count()
        self._pending: dict[int, _Pending] = {}
        self._streams: dict[int, TokenStream] = {}
        self._down: SageInferError | None = None
        self.failure: str | None = None
        """Why the backend failed, once the worker has said so."""

    async def call(
        self, method: str, *args: object, timeout_s: float, decode: Callable[[Any], _T] | None = None
    ) -> _T:
        """Run ``method`` in the worker and return ``decode`` of its result.

        Raises the worker's error, ``DeadlineExceeded`` after ``timeout_s``, ``BackendUnavailable`` when the
        worker is gone. A caller that leaves, by deadline or cancellation, makes the worker stop the call.
        """
        if self._down is not None:
            raise type(self._down)(str(self._down))
        call_id = next(self._ids)
        payload = frame(pack([int(Message.CALL), call_id, method, list(args)]))
        pending = _Pending(asyncio.get_running_loop().create_future(), decode or _unchanged)
        self._pending[call_id] = pending
        self._writer.write(payload)
        try:
            async with asyncio.timeout(timeout_s):
                answer: _T = await pending.answer
                return answer
        except TimeoutError as error:
            if isinstance(error, SageInferError):
                raise
            raise DeadlineExceeded(
                f"the worker of {self._label} did not answer {method} within {timeout_s:g} s"
            ) from None
        finally:
            if self._pending.pop(call_id, None) is not None and self._down is None:
                self._send([int(Message.ABANDON), call_id])

    def open_stream(self, stream_id: int, request_id: str) -> TokenStream:
        """Return the stream that the worker calls ``stream_id``; for use inside ``decode`` of a call only."""
        stream = TokenStream(
            request_id, on_cancel=lambda: self._send([int(Message.CANCEL_STREAM), stream_id])
        )
        self._streams[stream_id] = stream
        return stream

    async def read_forever(self) -> None:
        """Deliver what the worker sends until the connection ends, in order or not, or the backend has failed."""
        while True:
            try:
                message = await read_frame(self._reader)
                if message[0] == Message.FAILED:
                    self.failure = str(message[1])
                    return
                self._dispatch(message)
            except EOFError:
                return
            # A worker is plugin code: a malformed message ends the connection, it must not end the host.
            except (IntegrityError, LookupError, TypeError, ValueError) as error:
                _log.error("the worker of %s broke the protocol: %s", self._label, error)
                return

    def fail(self, error: SageInferError) -> None:
        """End every call and stream with ``error``, and refuse new ones; the first reason is kept."""
        if self._down is not None:
            return
        self._down = error
        pending, self._pending = self._pending, {}
        for call in pending.values():
            if not call.answer.done():
                call.answer.set_exception(error)
                call.answer.exception()  # a caller that left in this tick will not look at it
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            stream.fail(error)

    def close(self) -> None:
        """Close the socket; what is still pending fails."""
        self.fail(BackendUnavailable(f"the backend of {self._label} was closed"))
        self._writer.close()

    def _dispatch(self, message: list[Any]) -> None:
        kind = message[0]
        if kind == Message.DELTAS:
            for row in message[1]:
                self._deliver(row)
        elif kind == Message.STAGE:
            self._on_stage(message[1], message[2])
        elif kind in (Message.RESULT, Message.ERROR):
            self._settle(message)
        else:
            raise IntegrityError(f"unknown message kind {kind!r}")

    def _deliver(self, row: list[Any]) -> None:
        stream = self._streams.get(row[0])
        if stream is None:
            return  # of a call that was abandoned
        error = row_error(row)
        if error is not None:
            stream.fail(error)
        else:
            stream.push(delta_from_row(row))
        if stream.ended:
            del self._streams[row[0]]

    def _settle(self, message: list[Any]) -> None:
        kind, call_id, value = message
        pending = self._pending.pop(call_id, None)
        if pending is None or pending.answer.done():
            return
        if kind == Message.ERROR:
            pending.answer.set_exception(error_from_wire(value))
            pending.answer.exception()
            return
        try:
            # Here and not in the caller: its streams must exist before the next frame brings their deltas.
            pending.answer.set_result(pending.decode(value))
        except (LookupError, TypeError, ValueError) as error:
            pending.answer.set_exception(
                IntegrityError(f"the worker of {self._label} sent an answer that cannot be read: {error}")
            )

    def _send(self, message: list[Any]) -> None:
        if self._down is None:
            self._writer.write(frame(pack(message)))


def _unchanged(value: Any) -> Any:
    return value
