"""The worker's loop: frames in, calls on the one backend, frames out."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, cast

from sage_infer.backends.creation import create_backend
from sage_infer.plugins import Catalog, Registry
from sage_infer_contracts.errors import (
    BackendUnavailable,
    IntegrityError,
    InvalidRequest,
    SageInferError,
    error_to_wire,
)
from sage_infer_contracts.kinds import PluginKind
from sage_infer_contracts.streams import TokenStream

from .calls import EmbeddingCalls, InferenceCalls
from .frames import frame, pack, read_frame
from .health_watch import until_failed
from .messages import Message
from .outbox import Outbox
from .settings import FAILED_CLOSE_TIMEOUT_S, FAILED_FLUSH_S
from .worker_spec import WorkerSpec

if TYPE_CHECKING:
    from sage_infer_contracts.backend import InferenceBackend
    from sage_infer_contracts.embedding import EmbeddingBackend

_log = logging.getLogger(__name__)


class Service:
    """Serves one host over one connection until the host closes it, the backend fails, or :meth:`stop` is called."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._outbox = Outbox(writer)
        self._running: dict[int, asyncio.Task[None]] = {}
        self._backend: InferenceBackend | EmbeddingBackend | None = None
        self._calls: InferenceCalls | EmbeddingCalls | None = None
        self._watch: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self.failure: str | None = None
        """Why the started backend failed, if that is what ended :meth:`run`."""

    def stop(self) -> None:
        """End :meth:`run` soon; safe to call from a signal handler of the loop."""
        self._stopping.set()

    async def run(self, line_reader: asyncio.StreamReader, line_writer: asyncio.StreamWriter) -> None:
        """Serve the connection and the blocking line, then close all that was started here."""
        line = asyncio.create_task(self._serve_line(line_reader, line_writer), name="worker-line")
        reading = asyncio.create_task(self._read_forever(), name="worker-reader")
        stopping = asyncio.create_task(self._stopping.wait(), name="worker-stop")
        try:
            await asyncio.wait((reading, stopping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            tasks = (reading, stopping, line, *self._running.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._end_backend()
            await self._outbox.close()
            self._writer.close()
            line_writer.close()

    async def _read_forever(self) -> None:
        while True:
            try:
                message = await read_frame(self._reader)
            except EOFError:
                return
            except IntegrityError:
                _log.exception("the host sent a frame that cannot be read; closing")
                return
            self._dispatch(message)

    def _dispatch(self, message: list[Any]) -> None:
        kind = message[0]
        if kind == Message.CALL:
            _, call_id, method, args = message
            task = asyncio.create_task(self._answer(call_id, method, args), name=f"call-{method}")
            self._running[call_id] = task
            task.add_done_callback(lambda _task: self._running.pop(call_id, None))
        elif kind == Message.CANCEL_STREAM:
            self._outbox.cancel(message[1])
        elif kind == Message.ABANDON:
            running = self._running.get(message[1])
            if running is not None:
                running.cancel()
            self._outbox.cancel_call(message[1])

    async def _answer(self, call_id: int, method: str, args: list[Any]) -> None:
        # The result is written in the same step that produced it, so before any delta of its streams.
        self._writer.write(await self._reply(call_id, method, args))

    async def _serve_line(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                _, call_id, method, args = await read_frame(reader)
            except (EOFError, IntegrityError):
                return
            writer.write(await self._reply(call_id, method, args))

    async def _reply(self, call_id: int, method: str, args: list[Any]) -> bytes:
        try:
            result = await self._call(call_id, method, args)
            return frame(pack([int(Message.RESULT), call_id, result]))
        # The process boundary: whatever a call raises becomes the caller's error.
        except Exception as error:  # noqa: BLE001
            wire = error_to_wire(error)
            if wire["code"] == "error":
                _log.exception("%s failed with an error outside the family", method)
            return frame(pack([int(Message.ERROR), call_id, wire]))

    async def _call(self, call_id: int, method: str, args: list[Any]) -> Any:
        if method == "open":
            return self._open(WorkerSpec.model_validate(args[0]))
        if method == "close":
            await self._close_backend()
            return None
        if self._calls is None:
            raise BackendUnavailable("this worker has no backend: it was closed, or never opened")
        if method in self._calls.streaming:

            def attach(stream: TokenStream) -> int:
                return self._outbox.attach(stream, call_id)

            return await self._calls.streaming[method](attach, *args)
        if method not in self._calls.table:
            raise InvalidRequest(f"a worker has no method {method!r}", param="method")
        result = await self._calls.table[method](*args)
        if method == "start" and self._watch is None and self._backend is not None:
            self._watch = asyncio.create_task(self._end_when_failed(self._backend), name="worker-health")
        return result

    def _open(self, spec: WorkerSpec) -> None:
        self._stage("loading plugins")
        allowlist = None if spec.allowlist is None else frozenset(spec.allowlist)
        registry = Registry(Catalog.scan(), allowlist=allowlist, autoload=spec.autoload)
        self._backend = create_backend(spec.plan, registry)
        if spec.plan.kind is PluginKind.EMBEDDING:
            self._calls = EmbeddingCalls(cast("EmbeddingBackend", self._backend))
        else:
            self._calls = InferenceCalls(cast("InferenceBackend", self._backend))
        self._stage(f"loading {spec.plan.config.model.model_id}")

    def _stage(self, text: str) -> None:
        self._writer.write(frame(pack([int(Message.STAGE), text, None])))

    async def _end_when_failed(self, backend: InferenceBackend | EmbeddingBackend) -> None:
        reason = await until_failed(backend)
        # On standard error as well, so that it stands in the last lines whatever becomes of the connection.
        _log.error("the backend failed: %s", reason)
        try:
            await self._tell_failure(reason)
        except (
            SageInferError,
            ValueError,
        ):  # a reason that no frame can carry; the worker must end all the same
            _log.exception("the host could not be told why")
        self.failure = reason
        self.stop()

    async def _tell_failure(self, reason: str) -> None:
        idle = asyncio.ensure_future(self._outbox.until_idle())
        await asyncio.wait((*self._running.values(), idle), timeout=FAILED_FLUSH_S)
        idle.cancel()
        # Rows that wait go first: the host reads nothing after FAILED, and ends what is left with its reason.
        await self._outbox.close()
        self._writer.write(frame(pack([int(Message.FAILED), reason])))
        await self._flush()

    async def _flush(self) -> None:
        """Wait until the host has all that was written; not for long, it may be busy or gone."""
        self._writer.transport.set_write_buffer_limits(high=0)  # drain() then waits for the last byte
        try:
            async with asyncio.timeout(FAILED_FLUSH_S):
                await self._writer.drain()
        except (TimeoutError, ConnectionError) as error:
            _log.warning("the host may not have read why: %r", error)

    async def _end_backend(self) -> None:
        if self.failure is None:
            await self._close_backend()
            return
        try:
            async with asyncio.timeout(FAILED_CLOSE_TIMEOUT_S):
                await self._close_backend()
        except Exception:  # noqa: BLE001  a plugin boundary: the host must hear of the failure, not of this
            _log.exception("the failed backend did not close")

    async def _close_backend(self) -> None:
        if self._watch is not None:
            self._watch.cancel()  # what a closing backend says of its health is no failure
        backend, self._backend, self._calls, self._watch = self._backend, None, None, None
        if backend is not None:
            await backend.close()
