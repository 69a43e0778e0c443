"""What both proxies share: starting, restarting, closing, and saying how the worker is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from sage_infer_contracts.backend import BackendHealth, BackendStats
from sage_infer_contracts.descriptors import CapabilityDescriptor
from sage_infer_contracts.errors import BackendUnavailable, DeadlineExceeded, SageInferError

from .connection import Connection
from .settings import WorkerSettings
from .worker import Worker
from .worker_spec import WorkerSpec

_T = TypeVar("_T")
Progress = Callable[[str, float | None], None]


class WorkerProxy:
    """Owns at most one worker at a time and outlives it: after a death, :meth:`restart` starts a fresh one."""

    def __init__(
        self, spec: WorkerSpec, *, settings: WorkerSettings | None = None, progress: Progress | None = None
    ) -> None:
        self._spec = spec
        self._settings = settings or WorkerSettings()
        self._progress = progress
        self._stage = "starting a worker process"
        self._worker: Worker | None = None
        self._state = BackendHealth(state="created")
        self._lock = asyncio.Lock()
        self._capabilities: frozenset[str] = frozenset()
        self._descriptor: CapabilityDescriptor | None = None

    @property
    def label(self) -> str:
        """The model this proxy serves."""
        return self._spec.plan.config.model.model_id

    @property
    def description(self) -> str:
        """One line: model, engine, distribution, device."""
        return self._spec.plan.describe()

    @property
    def pid(self) -> int | None:
        """Process id of the worker, None when there is none."""
        return None if self._worker is None else self._worker.process.pid

    @property
    def capabilities(self) -> frozenset[str]:
        """What the backend declared when it started."""
        return self._capabilities

    def last_output(self) -> str:
        """Return the last lines the worker wrote."""
        return "" if self._worker is None else self._worker.process.last_output()

    async def start(self) -> None:
        """Start a worker and load the model in it; raises what the backend's start raises.

        A worker that dies raises ``BackendUnavailable``, one that hangs ``DeadlineExceeded`` naming the last stage.
        """
        async with self._lock:
            if self._state.state == "closed":
                raise BackendUnavailable(f"the backend of {self.label} was closed; open a new one")
            if self._worker is not None and not self._worker.down.done():
                return
            self._state = BackendHealth(state="starting")
            try:
                await self._start_worker()
            except BaseException as error:
                self._state = BackendHealth(state="failed", reason=str(error) or type(error).__name__)
                await self._drop_worker(abort=True)
                raise
            self._state = BackendHealth(state="ready")

    async def restart(self) -> None:
        """End the worker if it still lives, failing what it was doing, and start a fresh one."""
        async with self._lock:
            if self._state.state == "closed":
                raise BackendUnavailable(f"the backend of {self.label} was closed; open a new one")
            await self._drop_worker(abort=False)
        await self.start()

    async def wait_down(self) -> str:
        """Return why the worker is gone, as soon as it is; at once when there is none."""
        worker = self._worker
        if worker is None:
            return self._state.reason or "not started"
        await asyncio.wait((worker.down,))
        return worker.down.result()

    async def health(self) -> BackendHealth:
        """Say whether requests are served; never raises, answers within the control deadline."""
        worker = self._worker
        if worker is None or self._state.state != "ready":
            return self._state
        if worker.down.done():
            return BackendHealth(state="failed", reason=worker.down.result())
        try:
            return await self._call(
                "health", timeout_s=self._settings.control_timeout_s, decode=BackendHealth.model_validate
            )
        except SageInferError as error:
            return BackendHealth(state="failed", reason=str(error))

    async def stats(self) -> BackendStats:
        """Return the worker's counters and gauges."""
        return await self._call(
            "stats", timeout_s=self._settings.control_timeout_s, decode=BackendStats.model_validate
        )

    def get_capability(self) -> CapabilityDescriptor:
        """Describe the running instance, as it described itself when it started."""
        if self._descriptor is None:
            raise BackendUnavailable(f"the backend of {self.label} has not been started")
        return self._descriptor

    async def close(self) -> None:
        """End the worker: ask, SIGTERM, SIGKILL, each with a deadline; idempotent."""
        async with self._lock:
            self._state = BackendHealth(state="closed")
            await self._drop_worker(abort=False)

    def _described(self, snapshot: Any) -> None:
        """Keep what the worker said about itself; each kind reads its own part."""
        self._capabilities = frozenset(snapshot[0])
        self._descriptor = CapabilityDescriptor.model_validate(snapshot[1])

    async def _start_worker(self) -> None:
        self._report("starting a worker process", None)
        deadline_s = self._settings.start_timeout_s
        try:
            async with asyncio.timeout(deadline_s):
                self._worker = await Worker.launch(self._spec, self._settings, self._report)
                connection = self._worker.connection
                spec = self._spec.model_dump(mode="json")
                await connection.call("open", spec, timeout_s=2 * deadline_s)
                self._described(await connection.call("start", timeout_s=2 * deadline_s))
        except TimeoutError as error:
            if isinstance(error, SageInferError):
                raise
            said = self.last_output()
            raise DeadlineExceeded(
                f"{self.label} was not ready within {deadline_s:g} s; it was {self._stage}"
                + (f"; it last said:\n{said}" if said else "")
            ) from None
        self._report("ready", 1.0)

    async def _drop_worker(self, *, abort: bool) -> None:
        worker = self._worker
        if worker is None:
            return
        try:
            await (worker.abort() if abort else worker.close())
        finally:
            self._worker = None

    async def _call(
        self, method: str, *args: object, timeout_s: float, decode: Callable[[Any], _T] | None = None
    ) -> _T:
        return await self._connection.call(method, *args, timeout_s=timeout_s, decode=decode)

    async def _request(self, method: str, *args: object, decode: Callable[[Any], _T] | None = None) -> _T:
        return await self._call(method, *args, timeout_s=self._settings.request_timeout_s, decode=decode)

    def _blocking_call(self, method: str, *args: object) -> Any:
        return self._ready_worker().blocking.call(method, *args, timeout_s=self._settings.request_timeout_s)

    @property
    def _connection(self) -> Connection:
        return self._ready_worker().connection

    def _ready_worker(self) -> Worker:
        if self._worker is None or self._state.state != "ready":
            reason = f": {self._state.reason}" if self._state.reason else ""
            raise BackendUnavailable(f"the backend of {self.label} is {self._state.state}{reason}")
        return self._worker

    def _report(self, stage: str, share: float | None) -> None:
        self._stage = stage
        if self._progress is not None:
            self._progress(f"{self.label}: {stage}", share)
