"""Server-sent events, written as preformatted text: one write per batch of deltas."""

from __future__ import annotations

import asyncio
import json
from typing import Protocol

from fastapi import Response
from starlette.types import Receive, Scope, Send
from structlog.typing import FilteringBoundLogger

from sage_infer_contracts.errors import BackendUnavailable, SageInferError

from ..control_plane.streams import Batch, RequestStream
from .disconnect import wait_until_gone
from .errors import ApiError, to_api_error

DONE = "data: [DONE]\n\n"


class Renderer(Protocol):
    """Turns batches into events."""

    async def batch(self, batch: Batch) -> str:
        """Return the events of ``batch``, possibly none."""
        ...

    def end(self) -> str:
        """Return the events after the last batch, before ``[DONE]``."""
        ...


def event(document: object) -> str:
    """Return one event with ``document`` as compact JSON."""
    return f"data: {json.dumps(document, separators=(',', ':'))}\n\n"


def error_event(error: ApiError) -> str:
    """Return the event that ends a stream which failed after it began."""
    return event({"error": error.detail})


class WriteDeadline:
    """Cancels ``writer`` when one write takes longer than ``timeout_s``, looked at every half of it.

    One timer per answer: a timeout of its own for each write would cost more than the write's formatting.
    """

    def __init__(self, writer: asyncio.Future[None], timeout_s: float) -> None:
        self._writer = writer
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._began_s: float | None = None
        self.passed = False
        self._timer = self._loop.call_later(timeout_s / 2, self._look)

    def begin(self) -> None:
        """A write begins."""
        self._began_s = self._loop.time()

    def end(self) -> None:
        """The write is through."""
        self._began_s = None

    def close(self) -> None:
        """Look no more."""
        self._timer.cancel()

    def _look(self) -> None:
        if self._began_s is not None and self._loop.time() - self._began_s >= self._timeout_s:
            self.passed = True
            self._writer.cancel()
        else:
            self._timer = self._loop.call_later(self._timeout_s / 2, self._look)


class EventStream(Response):
    """Sends a request's stream as events; the request is given up when the client goes or stops reading."""

    media_type = "text/event-stream"

    def __init__(
        self,
        stream: RequestStream,
        first: Batch,
        renderer: Renderer,
        *,
        write_timeout_s: float,
        log: FilteringBoundLogger,
    ) -> None:
        super().__init__(headers={"cache-control": "no-cache", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._stream = stream
        self._first = first
        self._renderer = renderer
        self._write_timeout_s = write_timeout_s
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the end, an error, or the client's departure."""
        writer = asyncio.ensure_future(self._write(send))
        self._deadline = WriteDeadline(writer, self._write_timeout_s)
        watcher = asyncio.ensure_future(wait_until_gone(receive))
        try:
            await asyncio.wait({writer, watcher}, return_when=asyncio.FIRST_COMPLETED)
            if writer.done():
                writer.result()
        finally:
            self._stream.cancel()
            self._deadline.close()
            for task in (writer, watcher):
                task.cancel()
            await asyncio.gather(writer, watcher, return_exceptions=True)

    async def _write(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        try:
            batch = self._first
            while batch:
                if any(delta.finish_reason == "cancelled" for _, delta in batch):
                    raise BackendUnavailable("the request was cancelled by the server")
                if text := await self._renderer.batch(batch):
                    await self._send(send, text)
                batch = await self._stream.next_batch()
            await self._send(send, self._renderer.end() + DONE)
        except SageInferError as error:
            await self._send(send, error_event(to_api_error(error, retry_after_s=1)))
        except asyncio.CancelledError:
            if self._deadline.passed:
                # Sending an end would wait again; an unfinished answer makes the server close the connection.
                self._log.warning("client_stopped_reading", request_id=self._stream.request_id)
                return
            raise
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send(self, send: Send, text: str) -> None:
        self._deadline.begin()
        await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
        self._deadline.end()
