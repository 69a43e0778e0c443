"""A real uvicorn on a free loopback port, in a thread of its own, over the scripted backends."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import httpx

from sage_infer.common.event_loop import run
from sage_infer.control_plane import ControlPlaneManager
from sage_infer.serving.app import create_app
from sage_infer.serving.server import run_server
from sage_infer.serving.settings import ServingSettings

from .scripted_backend import ScriptedBackend
from .scripted_embedding import ScriptedEmbedding

T = TypeVar("T")
MODEL = "scripted/llm"
EMBEDDING = "scripted-embed"
START_DEADLINE_S = 30.0


class LiveServer:
    """Use as a context manager; ``call`` reaches the backends on the server's event loop."""

    def __init__(
        self,
        *,
        backend: dict[str, Any] | None = None,
        embedding: dict[str, Any] | None = None,
        manager: dict[str, Any] | None = None,
        settings: dict[str, Any] | None = None,
    ) -> None:
        self._backend_args = backend or {}
        self._embedding_args = embedding or {}
        self._manager_args = manager or {}
        self._settings = ServingSettings(port=0, **(settings or {}))
        self._listening = threading.Event()
        self._thread = threading.Thread(target=lambda: run(self._main()), daemon=True)
        self._error: BaseException | None = None
        self.host, self.port = "", 0

    @property
    def base_url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def __enter__(self) -> LiveServer:
        self._thread.start()
        if not self._listening.wait(START_DEADLINE_S) or self._error is not None:
            raise RuntimeError("the server did not start") from self._error
        self.http = httpx.Client(base_url=self.base_url, timeout=START_DEADLINE_S)
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()
        self.call(self._stop.set)
        self._thread.join(START_DEADLINE_S)
        assert not self._thread.is_alive(), "the server did not stop"

    def call(self, work: Callable[[], T]) -> T:
        """Run ``work`` on the server's loop and return its outcome; coroutines are awaited there."""

        async def run() -> T:
            outcome: Any = work()
            return await outcome if asyncio.iscoroutine(outcome) else outcome

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(START_DEADLINE_S)

    def until(self, condition: Callable[[], bool], *, deadline_s: float = START_DEADLINE_S) -> None:
        """Wait until ``condition`` holds on the server's loop, within a deadline."""
        end = time.monotonic() + deadline_s
        while not self.call(condition):
            assert time.monotonic() < end, "the condition did not come true in time"
            threading.Event().wait(0.005)

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        try:
            await self._serve()
        except BaseException as error:
            self._error = error
            self._listening.set()
            raise

    async def _serve(self) -> None:
        self.backend = ScriptedBackend(**self._backend_args)
        self.embedding = ScriptedEmbedding(**self._embedding_args)
        self.manager = ControlPlaneManager(**self._manager_args)
        await self.backend.start()
        await self.embedding.start()
        await self.manager.register_backend(MODEL, self.backend)
        await self.manager.register_embedding(EMBEDDING, self.embedding)
        self.app = create_app(self.manager, self._settings)
        server = asyncio.ensure_future(
            run_server(
                self.app, self.manager, self._settings, on_listening=self._on_listening, stop=self._stop
            )
        )
        await server
        await self.backend.close()
        await self.embedding.close()

    def _on_listening(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self._listening.set()
