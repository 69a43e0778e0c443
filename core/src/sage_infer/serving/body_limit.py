"""Refuses bodies over the limit while they arrive, whatever the header said."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .errors import ApiError, error_response

DISCARD_FACTOR = 4
DISCARD_S = 2.0
"""How much of a refused body is read and dropped: a client that is still sending would not see the answer."""


class BodyLimitMiddleware:
    """Answers 413 when a body has more than ``max_bytes`` bytes."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "0")
        if declared.isdecimal() and int(declared[:20]) > self._max_bytes:
            if int(declared[:20]) <= self._max_bytes * DISCARD_FACTOR:
                await self._discard(receive)
            await error_response(self._error())(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                if message.get("more_body", False):
                    await self._discard(receive)
                raise self._error()
            return message

        await self._app(scope, counted, send)

    async def _discard(self, receive: Receive) -> None:
        dropped = 0
        try:
            async with asyncio.timeout(DISCARD_S):
                while dropped <= self._max_bytes * DISCARD_FACTOR:
                    message = await receive()
                    dropped += len(message.get("body", b""))
                    if not message.get("more_body", False):
                        return
        except TimeoutError:
            return

    def _error(self) -> ApiError:
        return ApiError(
            413,
            f"the request body is larger than {self._max_bytes} bytes, the limit of this server",
            code="request_too_large",
            headers={"connection": "close"},
        )
