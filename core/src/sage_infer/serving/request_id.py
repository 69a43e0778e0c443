"""Names requests, and logs one line for each that ends."""

from __future__ import annotations

import re
import time
from uuid import uuid4

from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.typing import FilteringBoundLogger

_SANE = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_HEADER = "x-request-id"
_KEY = "sage_infer.client_request_id"


def new_request_id() -> str:
    """Return a unique request id."""
    return f"req-{uuid4().hex}"


def client_request_id(http: Request) -> str | None:
    """Return the id under which this HTTP request is logged and answered."""
    value: str | None = http.scope.get(_KEY)
    return value


class RequestIdMiddleware:
    """Takes over a sane ``x-request-id`` or makes one, echoes it, and logs method, path, status and time."""

    def __init__(self, app: ASGIApp, log: FilteringBoundLogger) -> None:
        self._app = app
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(_HEADER, "")
        request_id = given if _SANE.fullmatch(given) else new_request_id()
        scope[_KEY] = request_id
        status = 0
        start_s = time.monotonic()

        async def send_named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[_HEADER] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_named)
        finally:
            self._log.info(
                "http_request",
                client_request_id=request_id,
                method=scope["method"],
                path=scope["path"],
                status=status,
                duration_s=round(time.monotonic() - start_s, 6),
            )
