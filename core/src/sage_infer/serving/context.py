"""What every route needs, made once per application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs
from fastapi import Request
from fastapi.responses import JSONResponse, Response
from structlog.typing import FilteringBoundLogger

from sage_infer_contracts.errors import BackendUnavailable

from ..control_plane import ControlPlaneManager, GenerateRequest, RequestStream
from ..control_plane.streams import Batch
from .disconnect import while_connected
from .output import Piece, Totals
from .settings import ServingSettings
from .sse import EventStream, Renderer


@attrs.frozen
class ServerContext:
    """The control plane and the settings that routes use."""

    manager: ControlPlaneManager
    settings: ServingSettings

    @property
    def log(self) -> FilteringBoundLogger:
        """The structured logger."""
        return self.manager.telemetry.log


async def start(
    context: ServerContext, http: Request, request: GenerateRequest
) -> tuple[RequestStream, Batch]:
    """Submit ``request`` and wait for its first output, so that an early failure still has its own HTTP status.

    The request is given up when the client goes while it waits.
    """

    async def first_output() -> tuple[RequestStream, Batch]:
        stream = await context.manager.submit(request)
        try:
            return stream, await stream.next_batch()
        except BaseException:
            stream.cancel()
            raise

    return await while_connected(first_output(), http.receive)


async def collect(http: Request, stream: RequestStream, first: Batch, totals: Totals) -> list[Piece]:
    """Read ``stream`` to its end and return one piece per choice; gives the request up when the client goes."""
    pieces = [Piece(index) for index in range(stream.sequences)]

    async def read() -> None:
        batch = first
        while batch:
            for index, delta in batch:
                pieces[index].add(delta)
            totals.take(batch)
            batch = await stream.next_batch()

    try:
        await while_connected(read(), http.receive)
    finally:
        stream.cancel()
    if any(piece.finish_reason == "cancelled" for piece in pieces):
        raise BackendUnavailable("the request was cancelled by the server")
    return pieces


async def answer(
    context: ServerContext,
    http: Request,
    request: GenerateRequest,
    *,
    stream: bool,
    renderer: Callable[[Totals], Renderer],
    whole: Callable[[list[Piece], Totals], Awaitable[object]],
) -> Response:
    """Run ``request`` and answer with events or with one document."""
    running, first = await start(context, http, request)
    totals = Totals(prompt_tokens=running.prompt_tokens, n=request.params.n)
    if stream:
        return EventStream(
            running,
            first,
            renderer(totals),
            write_timeout_s=context.settings.write_timeout_s,
            log=context.log,
        )
    return JSONResponse(await whole(await collect(http, running, first, totals), totals))
