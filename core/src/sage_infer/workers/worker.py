"""One life of a worker: a process and the connection to it, failing together."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from sage_infer_contracts.errors import BackendUnavailable, SageInferError

from .blocking import BlockingLine
from .connection import Connection
from .frames import READ_BUFFER_BYTES
from .process import WorkerProcess
from .settings import FAILED_CLOSE_TIMEOUT_S, WorkerSettings
from .worker_spec import WorkerSpec

_DRAIN_S = 1.0
_EXIT_S = 3.0
Stage = Callable[[str, float | None], None]


class Worker:
    """A running worker. ``down`` holds the reason once it is gone, however it went."""

    def __init__(
        self,
        process: WorkerProcess,
        connection: Connection,
        blocking: BlockingLine,
        settings: WorkerSettings,
    ) -> None:
        self.process = process
        self.connection = connection
        self.blocking = blocking
        self._settings = settings
        self._closing = False
        self.down: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._watch = asyncio.create_task(self._watch_until_down(), name=f"worker-{process.label}")

    @classmethod
    async def launch(cls, spec: WorkerSpec, settings: WorkerSettings, on_stage: Stage) -> Worker:
        """Start a process and connect to it; it has loaded nothing yet."""
        label = spec.plan.config.model.model_id
        environment = spec.plan.launch_plan.environment if spec.plan.launch_plan else {}
        ours, theirs = socket.socketpair()
        our_line, their_line = socket.socketpair()
        with theirs, their_line:
            try:
                process = await WorkerProcess.spawn(
                    (theirs, their_line),
                    environment=environment,
                    label=label,
                    keep_lines=settings.stderr_lines,
                )
            except BaseException:
                ours.close()
                our_line.close()
                raise
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=READ_BUFFER_BYTES)
        connection = Connection(reader, writer, label=label, on_stage=on_stage)
        return cls(process, connection, BlockingLine(our_line, label), settings)

    async def close(self) -> None:
        """Ask the backend to close, then see the process off; every step has a deadline."""
        self._closing = True
        try:
            if not self.down.done():
                await self.connection.call("close", timeout_s=self._settings.close_timeout_s)
        except SageInferError as error:
            self.process.note(f"close: {error}")
        finally:
            await self._end()

    async def abort(self) -> None:
        """Kill the worker without asking."""
        self._closing = True
        await self.process.kill(self._settings.terminate_timeout_s)
        await self._end()

    async def _end(self) -> None:
        self.connection.close()
        terminate_s = self._settings.terminate_timeout_s
        await self.process.end(patience_s=terminate_s, terminate_s=terminate_s)
        await asyncio.wait((self._watch,), timeout=_DRAIN_S + 2 * _EXIT_S)

    async def _watch_until_down(self) -> None:
        reading = asyncio.create_task(self.connection.read_forever(), name="worker-connection")
        try:
            await asyncio.wait((reading, self.process.exited), return_when=asyncio.FIRST_COMPLETED)
            # What a dying worker managed to send is already in the socket; read it before failing the rest.
            await asyncio.wait((reading,), timeout=_DRAIN_S)
        finally:
            reading.cancel()
        if self._closing:
            reason = f"the backend of {self.process.label} was closed"
        else:
            reason = await self._describe_end()
        self.connection.fail(BackendUnavailable(reason))
        self.connection.close()
        self.blocking.close()
        if not self.down.done():
            self.down.set_result(reason)

    async def _describe_end(self) -> str:
        failure = self.connection.failure
        if failure is None:
            return await self.process.describe_exit(_EXIT_S)
        reason = f"the backend of {self.process.label} failed: {failure}"
        # Nothing will come of what is pending; it need not wait until the failed backend is closed.
        self.connection.fail(BackendUnavailable(reason))
        return f"{reason}; {await self.process.describe_exit(FAILED_CLOSE_TIMEOUT_S + _EXIT_S)}"
