"""HTTP by hand: what a client library would not let one send."""

from __future__ import annotations

import json
import socket
from typing import Any

from .live_server import LiveServer

DEADLINE_S = 30.0


def connect(server: LiveServer) -> socket.socket:
    """Open a connection."""
    return socket.create_connection((server.host, server.port), timeout=DEADLINE_S)


def post(path: str, body: dict[str, Any] | bytes, *headers: str) -> bytes:
    """Return the bytes of a POST."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [
        f"POST {path} HTTP/1.1",
        "host: test",
        "content-type: application/json",
        f"content-length: {len(content)}",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def read_until(connection: socket.socket, mark: bytes) -> bytes:
    """Read until ``mark`` has come or the connection ends."""
    data = b""
    while mark not in data:
        part = connection.recv(65536)
        if not part:
            break
        data += part
    return data


def read_all(connection: socket.socket) -> bytes:
    """Read to the end of the connection."""
    data = b""
    while part := connection.recv(65536):
        data += part
    return data
