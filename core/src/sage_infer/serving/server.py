"""Runs the application over uvicorn, and stops it without losing requests."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator

import uvicorn
from fastapi import FastAPI

from sage_infer_contracts.errors import InvalidRequest

from ..common.logs import ForwardingHandler
from ..control_plane import ControlPlaneManager
from .settings import ServingSettings

CLOSE_DEADLINE_S = 5
"""How long answers that are already complete may take to reach their clients at the very end."""
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


async def run_server(
    app: FastAPI,
    manager: ControlPlaneManager,
    settings: ServingSettings,
    *,
    on_listening: Callable[[str, int], None] | None = None,
    stop: asyncio.Event | None = None,
) -> int:
    """Serve until SIGTERM or SIGINT and return the exit code of the process.

    The first signal drains: new requests get 503, running ones have ``drain_timeout_s`` to finish and are then
    cancelled; the code is 0. A second signal stops at once; the code is 1. Setting ``stop`` does what the first
    signal does. ``on_listening`` hears the address once connections are accepted. Closes the manager, not the
    backends. Raises ``InvalidRequest`` when the address cannot be had.
    """
    listener = _listen(settings)
    with listener, _forward_logs(manager):
        server = DrainingServer(app, manager, settings, on_listening)
        stopper = None if stop is None else asyncio.ensure_future(_stop_on(stop, server))
        try:
            await server.serve(sockets=[listener])
        finally:
            if stopper is not None:
                stopper.cancel()
            await manager.close()
    return 1 if server.force_exit else 0


class DrainingServer(uvicorn.Server):
    """A uvicorn server whose signals mean: drain first, then exit."""

    def __init__(
        self,
        app: FastAPI,
        manager: ControlPlaneManager,
        settings: ServingSettings,
        on_listening: Callable[[str, int], None] | None = None,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http="httptools",  # named, so that what is tested is what runs; h11 costs a fifth more per token
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=settings.keep_alive_s,
                timeout_graceful_shutdown=CLOSE_DEADLINE_S,
            )
        )
        self._manager = manager
        self._settings = settings
        self._on_listening = on_listening
        self._drain: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections and say so."""
        await super().startup(sockets=sockets)
        if self._on_listening is not None and sockets:
            host, port = sockets[0].getsockname()[:2]
            self._on_listening(host, port)

    def stop(self) -> None:
        """Begin to drain; called again, exit at once. Must be called on the server's event loop."""
        if self._drain is None:
            self._drain = asyncio.ensure_future(self._drain_and_exit())
        else:
            self._manager.abort()
            self.force_exit = self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals on the event loop; outside the main thread there are none to handle."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self.stop)
        try:
            yield
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)

    async def _drain_and_exit(self) -> None:
        log = self._manager.telemetry.log
        log.info("draining", deadline_s=self._settings.drain_timeout_s)
        finished = await self._manager.drain(self._settings.drain_timeout_s)
        log.info("drained", all_finished=finished)
        self.should_exit = True


async def _stop_on(event: asyncio.Event, server: DrainingServer) -> None:
    await event.wait()
    server.stop()


def _listen(settings: ServingSettings) -> socket.socket:
    try:
        infos = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, address = infos[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise InvalidRequest(
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror or error}; choose another "
            "--host or --port",
            param="port",
        ) from error
    return listener


@contextlib.contextmanager
def _forward_logs(manager: ControlPlaneManager) -> Iterator[None]:
    handler = ForwardingHandler(manager.telemetry.log)
    logger = logging.getLogger("uvicorn")
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate
