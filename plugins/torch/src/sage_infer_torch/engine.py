"""Engine: the event loop's handle on a running engine thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from sage_infer_contracts.backend import BackendConfig, BackendStats
from sage_infer_contracts.engines.leases import LeaseTable
from sage_infer_contracts.engines.live import LiveRequests
from sage_infer_contracts.engines.tokenizer import decoder
from sage_infer_contracts.errors import BackendUnavailable, DeadlineExceeded
from sage_infer_contracts.runtime import DeviceRuntime

from .options import EngineOptions
from .sequence import Sequence
from .thread import EngineThread

if TYPE_CHECKING:
    from .core import EngineCore
    from .model import LoadedModel

T = TypeVar("T")


class Engine:
    """Starts and stops the thread, and knows the live requests. Used on one event loop.

    torch and transformers are imported on the engine's thread, once :meth:`start` runs it.
    """

    def __init__(
        self,
        config: BackendConfig,
        options: EngineOptions,
        runtime: DeviceRuntime,
        clock: Callable[[], float],
        *,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self.leases: LeaseTable[Sequence] = LeaseTable(options.lease_s, clock)
        self._thread = EngineThread(
            lambda: _build(config, options, runtime, self.leases),
            name=f"sage-infer-engine-{config.model.model_id}",
            context=lambda: _compute_context(runtime, config.device_ids[0]),
            on_failure=on_failure,
        )
        self.requests: LiveRequests[Sequence] | None = None

    @property
    def alive(self) -> bool:
        """Whether the thread still runs."""
        return self._thread.alive

    @property
    def stats(self) -> BackendStats:
        """Counters and gauges as of the last step."""
        return self._thread.stats

    async def start(self) -> LoadedModel:
        """Build the engine; raises what the build raised."""
        self._thread.start()
        core = await self._thread.started
        self.limits, self.schema = core.limits, core.pool.schema
        self.decode = decoder(core.model.tokenizer)
        self.requests = LiveRequests(core.limits)
        return core.model

    def submit(self, sequences: list[Sequence]) -> None:
        """Queue new sequences for which there is a reservation."""
        for sequence in sequences:
            self.live.enter(sequence)
        self._thread.post(lambda core: core.add(sequences))

    def resume(self, sequence: Sequence) -> None:
        """Queue a sequence taken out of its lease."""
        self.live.enter(sequence)
        self._thread.post(lambda core: core.resume(sequence))

    def cancel(self, sequences: Iterable[Sequence]) -> None:
        """Stop sequences wherever they are."""
        doomed = list(sequences)
        self._thread.post(lambda core: core.cancel(doomed))

    def cancel_request(self, request_id: str) -> bool:
        """Stop the live and the parked sequences of a request; False if there are none."""
        live, fresh = self.live.to_cancel(request_id)
        if fresh:
            self.cancel(fresh)
        parked = self.leases.take_request(request_id)
        if parked:
            self.forget(parked)
        return live or bool(parked)

    def discard(self, sequences: list[Sequence]) -> asyncio.Future[Any]:
        """Free sequences taken out of their lease, whether or not the caller waits; done when they are free."""
        return self._thread.ask(lambda core: core.discard(sequences))

    def forget(self, sequences: list[Sequence]) -> None:
        """Free sequences that are in no lease, without waiting for it."""
        self._thread.post(lambda core: core.discard(sequences))

    def ask(self, question: Callable[[EngineCore], T]) -> asyncio.Future[T]:
        """Run ``question`` between two steps; the future has its answer."""
        return self._thread.ask(question)

    def fail_pending(self, reason: str) -> None:
        """End every live sequence and unanswered call with ``BackendUnavailable``."""
        self._thread.fail_calls(BackendUnavailable(reason))
        if self.requests is not None:
            for sequence in self.requests.all():
                sequence.sink(BackendUnavailable(reason))

    async def close(self, timeout_s: float, executor: Executor) -> None:
        """End the thread and what is pending; waits for the thread on ``executor``.

        Raises ``DeadlineExceeded`` when it outlives ``timeout_s``.
        """
        self._thread.stop()
        self.fail_pending("the backend was closed")
        loop = asyncio.get_running_loop()
        ended = await loop.run_in_executor(executor, partial(self._thread.join, timeout_s))
        if not ended:
            raise DeadlineExceeded(
                f"the engine's step did not end within {timeout_s:g} s; its thread ends with the step"
            )

    @property
    def live(self) -> LiveRequests[Sequence]:
        """The live requests; raises ``BackendUnavailable`` before start."""
        if self.requests is None:
            raise BackendUnavailable("the engine has not been started")
        return self.requests


@contextmanager
def _compute_context(runtime: DeviceRuntime, index: int) -> Iterator[None]:
    """Prepare the device before anything imports torch, compute without autograd, give memory back."""
    runtime.prepare()
    import torch

    with torch.inference_mode():
        yield
    runtime.empty_cache(index)


def _build(
    config: BackendConfig, options: EngineOptions, runtime: DeviceRuntime, leases: LeaseTable[Sequence]
) -> EngineCore:
    from .build import build_core

    return build_core(config, options, runtime, leases)
