"""Which server the HTTP contract tests run against.

By default a scripted one, started here. ``SAGE_INFER_TEST_SERVER_URL`` (for example ``http://127.0.0.1:8000``)
points the same tests at a server that is already running; ``SAGE_INFER_TEST_SERVER_KEY`` is its API key, if it has
one. Models are found by asking ``/health``. Another conftest may also override the ``server`` fixture itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import attrs
import httpx

from .live_server import EMBEDDING, MODEL, LiveServer

CONTEXT_LIMIT_PROBE = "word " * 60_000
"""A prompt longer than the context of any model these tests run on."""


@attrs.frozen
class ServerUnderTest:
    """Where the server is and what it serves."""

    base_url: str
    model: str
    embedding_model: str
    api_key: str = "unused"


def servers() -> Iterator[ServerUnderTest]:
    """Yield the server to test."""
    url = os.environ.get("SAGE_INFER_TEST_SERVER_URL")
    if url:
        yield _running(url.rstrip("/"), os.environ.get("SAGE_INFER_TEST_SERVER_KEY", "unused"))
        return
    with LiveServer() as live:
        yield ServerUnderTest(live.base_url, MODEL, EMBEDDING)


def _running(url: str, key: str) -> ServerUnderTest:
    models = httpx.get(f"{url}/health", timeout=30).json()["models"]
    names = {model["kind"]: model["id"] for model in reversed(models)}
    return ServerUnderTest(url, names["llm"], names["embedding"], key)
