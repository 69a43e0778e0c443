"""Engine: one AsyncLLM from start to end, with what was read from it once it ran."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from functools import partial
from typing import Any

import psutil

from sage_infer_contracts.backend import BackendConfig
from sage_infer_contracts.errors import BackendUnavailable, DeviceUnavailable, InvalidRequest
from sage_infer_contracts.launch import EngineLaunchPlan

from .errors import ENGINE_DIED, let_go, start_error
from .importing import collector_paused
from .kv_report import REPORT_METHOD, WORKER_EXTENSION
from .launch import Launch, Runner, launch_of
from .options import EngineOptions
from .startup_log import StartupLog
from .step_counters import StepCounters
from .versions import INSTALL_HINT, installed_version, require_tested

KILLED_TIMEOUT_S = 5.0
"""How long a killed process may take to be gone: it still gives its memory back."""


class Engine:
    """Starts vLLM off the event loop and then belongs to that loop."""

    def __init__(
        self,
        config: BackendConfig,
        options: EngineOptions,
        plan: EngineLaunchPlan | None,
        *,
        runner: Runner,
        park: bool = False,
        pooler: Mapping[str, str | bool] | None = None,
    ) -> None:
        """Check the settings; nothing is imported and no process is started.

        ``park`` asks for a scheduler that can hold requests; ``pooler`` are fields of vLLM's ``PoolerConfig``.
        """
        self.launch = launch_of(config, options, plan, runner=runner)
        self.options = options
        self.counters = StepCounters()
        self.version = ""
        self.can_park = False
        self._park = park
        self._pooler = pooler
        self._llm: Any = None
        self._log: StartupLog | None = None

    @property
    def llm(self) -> Any:
        """The running ``AsyncLLM``; raises ``BackendUnavailable`` once its engine is dead or closed."""
        if self._llm is None:
            raise BackendUnavailable("the engine is not running")
        if self._llm.errored:
            raise BackendUnavailable(ENGINE_DIED)
        return self._llm

    @property
    def died(self) -> bool:
        """Whether the engine's processes ended without being asked to."""
        return self._llm is not None and bool(self._llm.errored)

    async def start(self, executor: Executor) -> None:
        """Start vLLM on ``executor``, which blocks for as long as the model takes to load.

        Raises ``DeviceUnavailable``, ``PluginIncompatible``, ``InvalidRequest``, ``Unsupported`` or
        ``CapacityExceeded``; its processes are gone then.
        """
        self.version = installed_version()
        require_tested(self.version, override=self.options.allow_untested_version)
        self._log = StartupLog()
        await asyncio.get_running_loop().run_in_executor(executor, self._start, self._log)

    async def kv_report(self) -> dict[str, Any]:
        """Ask a worker what KV it holds."""
        (report, *_) = await self.llm.collective_rpc(REPORT_METHOD)
        return dict(report)

    async def resume(self, engine_id: str, mark: Mapping[str, str]) -> None:
        """Send the message that lets a parked request go on; it carries no prompt and asks for no token."""
        from vllm.sampling_params import SamplingParams
        from vllm.v1.engine import EngineCoreRequest

        message = EngineCoreRequest(
            request_id=engine_id,
            prompt_token_ids=[0],
            mm_features=None,
            sampling_params=SamplingParams(max_tokens=1, extra_args=dict(mark)),
            pooling_params=None,
            arrival_time=time.time(),
            lora_request=None,
            cache_salt=None,
            data_parallel_rank=None,
        )
        await self.llm.engine_core.add_request_async(message)

    async def close(self, executor: Executor, timeout_s: float) -> None:
        """End the engine's processes, those of a start that was given up included; idempotent.

        ``executor`` has one thread, and is the one that :meth:`start` was called with.
        """
        # A start that nobody waits for goes on in that thread, and only then is there an engine to end.
        await asyncio.get_running_loop().run_in_executor(executor, _nothing)
        llm, self._llm = self._llm, None
        log, self._log = self._log, None
        try:
            if llm is not None:
                await _shut_down(llm, executor, timeout_s)
        finally:
            if log is not None:
                log.close()

    def _start(self, log: StartupLog) -> None:
        """Start in the executor's thread, and return nothing.

        Something that vLLM imports keeps a frame of its import, a frame keeps those it was called from, and the lowest
        of these keeps the executor's result: an engine returned here would never go.
        """
        os.environ.update(self.launch.environment)
        try:
            with log.recording():
                self._llm = self._start_llm()
        except Exception as error:
            let_go(error)
            raise start_error(error, log.cause()) from error

    def _start_llm(self) -> Any:
        with collector_paused():
            launch = self._prepare()
        return launch(disable_log_stats=True, stat_loggers=[self.counters.factory()])

    def _prepare(self) -> Callable[..., Any]:
        """Import vLLM and check the settings; return what starts its processes."""
        try:
            from vllm.engine.arg_utils import AsyncEngineArgs
            from vllm.platforms import current_platform
            from vllm.v1.engine.async_llm import AsyncLLM
        except ImportError as error:
            raise DeviceUnavailable(
                f"vLLM {self.version} cannot be imported: {error}; {INSTALL_HINT}", reason="import_error"
            ) from error
        _require_platform(current_platform, self.launch.device_type)
        _require_known(self.launch, AsyncEngineArgs)
        arguments = AsyncEngineArgs(
            **self.launch.arguments,
            **_pooler_arguments(self._pooler),
            worker_extension_cls=WORKER_EXTENSION,
            disable_log_stats=True,
        )
        config = arguments.create_engine_config()
        self.can_park = self._park and _add_parking(config)
        return partial(AsyncLLM.from_vllm_config, config)


def _require_platform(platform: Any, wanted: str) -> None:
    found = platform.device_type
    if found != wanted:
        what = f"runs on {found!r}" if found else "found no device that it was built for"
        raise DeviceUnavailable(
            f"device {wanted!r} was asked for, and the installed vLLM {what}; {INSTALL_HINT}",
            reason="wrong_platform",
        )


def _require_known(launch: Launch, arguments: type) -> None:
    known = set(getattr(arguments, "__dataclass_fields__", ()))
    for name in launch.arguments:
        if name not in known:
            raise InvalidRequest(f"vLLM has no engine argument {name!r}", param=f"options.vllm.{name}")


def _pooler_arguments(pooler: Mapping[str, str | bool] | None) -> dict[str, Any]:
    if pooler is None:
        return {}
    from vllm.config import PoolerConfig

    return {"pooler_config": PoolerConfig(**pooler)}


def _add_parking(config: Any) -> bool:
    """Give the engine a scheduler that can hold requests, unless a platform brings a scheduler of its own."""
    from .parking import parking_scheduler

    scheduling = config.scheduler_config
    if config.parallel_config.data_parallel_size != 1 or config.speculative_config is not None:
        return False
    name = parking_scheduler(scheduling.get_scheduler_cls())
    if name is None:
        return False
    scheduling.scheduler_cls = name
    return True


async def _shut_down(llm: Any, executor: Executor, timeout_s: float) -> None:
    loop = asyncio.get_running_loop()
    await _end(llm.output_handler)  # first, or it reports the end as the engine's death
    await loop.run_in_executor(executor, _end_processes, llm, timeout_s)
    # Its finalizer shuts down once more; at interpreter exit the modules it needs are gone by then.
    llm.shutdown = _nothing
    # vLLM leaves its last tasks to the loop, and what carried the messages to the collector.
    resources = llm.engine_core.resources
    for task in (resources.output_queue_task, resources.stats_update_task):
        await _end(task)
    await loop.run_in_executor(executor, partial(resources.ctx.destroy, linger=0))


def _end_processes(llm: Any, timeout_s: float) -> None:
    """Let vLLM end its processes, and see them gone: those it had to kill, it does not wait for."""
    manager = llm.engine_core.resources.engine_manager
    processes = [each for engine in getattr(manager, "processes", ()) for each in _tree(engine.pid)]
    llm.shutdown(timeout_s)
    psutil.wait_procs(processes, timeout=KILLED_TIMEOUT_S)


def _tree(pid: int) -> list[psutil.Process]:
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


async def _end(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        await asyncio.wait((task,))


def _nothing() -> None:
    """Do nothing: what is left for an engine that was shut down, and the end of a queue that is waited for."""
