"""The worker's side of streams: everything that happened in one tick of the loop leaves in one frame."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import msgpack

from sage_infer_contracts.streams import TokenDelta, TokenStream

from .codec import delta_to_row, error_to_row
from .frames import MAX_FRAME_BYTES, frame, pack
from .messages import Message

_HEADER_BYTES = 16


class Outbox:
    """Forwards backend streams in frames.

    A row waits here until the host reads, so what waits is bounded by the ``max_tokens`` of the running
    requests, the bound streams have themselves.
    """

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._rows: list[bytes] = []
        self._filled = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False
        self._streams: dict[int, TokenStream] = {}
        self._calls: dict[int, int] = {}
        self._next_id = 0
        self._flusher = asyncio.create_task(self._flush_forever(), name="worker-outbox")

    async def until_idle(self) -> None:
        """Wait until every stream has ended."""
        await self._idle.wait()

    def attach(self, stream: TokenStream, call_id: int) -> int:
        """Start to forward ``stream``; returns its id. The result of ``call_id`` must be written before any await.

        Rows leave at the earliest in the next tick, so the host learns the id before the first delta.
        """
        stream_id = self._next_id
        self._next_id += 1
        self._streams[stream_id], self._calls[stream_id] = stream, call_id
        self._idle.clear()
        stream.forward(lambda event: self._forward(stream_id, event))
        return stream_id

    def cancel(self, stream_id: int) -> None:
        """Cancel one stream; unknown ids are over already."""
        stream = self._streams.get(stream_id)
        if stream is not None:
            stream.cancel()

    def cancel_call(self, call_id: int) -> None:
        """Cancel every stream that the call ``call_id`` returned."""
        for stream_id in [sid for sid, owner in self._calls.items() if owner == call_id]:
            self.cancel(stream_id)

    async def close(self) -> None:
        """Stop forwarding; rows that wait are sent once more without waiting for the host to read."""
        self._closed = True
        self._flusher.cancel()
        await asyncio.gather(self._flusher, return_exceptions=True)
        self._write_rows()

    def _forward(self, stream_id: int, event: TokenDelta | BaseException) -> None:
        stream = self._streams.get(stream_id)
        if self._closed or stream is None:
            return
        try:
            if isinstance(event, BaseException):
                raise event
            self._add(pack(delta_to_row(stream_id, event)))
            over = event.finish_reason is not None
        # A backend's stream may break PK-04; the host must still learn that it is over.
        except Exception as error:  # noqa: BLE001
            over = True
            stream.cancel()
            self._add(pack(error_to_row(stream_id, error)))
        if over:
            self._forget(stream_id)

    def _add(self, row: bytes) -> None:
        self._rows.append(row)
        self._filled.set()

    def _forget(self, stream_id: int) -> None:
        del self._streams[stream_id], self._calls[stream_id]
        if not self._streams:
            self._idle.set()

    async def _flush_forever(self) -> None:
        while True:
            await self._filled.wait()
            self._write_rows()
            try:
                await self._writer.drain()
            except ConnectionError:
                return  # the host is gone; the service sees the end of its input and closes

    def _write_rows(self) -> None:
        rows, self._rows = self._rows, []
        self._filled.clear()
        for batch in _batches(rows):
            self._writer.write(_deltas_frame(batch))


def _batches(rows: list[bytes]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    for row in rows:
        if batch and size + len(row) > MAX_FRAME_BYTES - _HEADER_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += len(row)
    if batch:
        yield batch


def _deltas_frame(rows: list[bytes]) -> bytes:
    # Rows are packed one by one, so that one bad row fails one stream; here they only get headers.
    packer = msgpack.Packer(autoreset=False)
    packer.pack_array_header(2)
    packer.pack(int(Message.DELTAS))
    packer.pack_array_header(len(rows))
    return frame(packer.bytes() + b"".join(rows))
