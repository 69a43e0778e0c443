"""Units of work that a model's pool queues and runs: one sequence to generate, or one set of texts to embed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from sage_infer_contracts.backend import InferenceBackend
from sage_infer_contracts.embedding import EmbeddingBackend
from sage_infer_contracts.errors import BackendUnavailable, DeadlineExceeded, SageInferError
from sage_infer_contracts.sampling import SamplingParams
from sage_infer_contracts.streams import TokenDelta, TokenStream, Usage

from .metrics_collector import SequenceTimer
from .requests import EmbeddingResult
from .streams import RequestStream
from .types import RequestMetadata, RequestStatus

Backend = TypeVar("Backend", bound=InferenceBackend | EmbeddingBackend)

START_DEADLINE_S = 60.0
"""How long ``generate`` may take to accept a request and return its streams."""
STOP_DEADLINE_S = 30.0
"""How long a backend may take to end a cancelled request (IB-04) before it counts as unwell."""


class BackendOverrun(BackendUnavailable):
    """The backend did not start or end a request by its deadline."""


class Job(Generic[Backend]):
    """One unit of work. ``weight`` is how many of an instance's slots it takes.

    The owner hears of the end once, through ``on_end``, after the backend has let go of the work.
    """

    def __init__(
        self,
        metadata: RequestMetadata,
        timers: Sequence[SequenceTimer],
        *,
        weight: int,
        on_end: Callable[[], None],
    ) -> None:
        self.metadata = metadata
        self.timers = timers
        self.weight = weight
        self._on_end = on_end
        self._now = asyncio.get_running_loop().time
        self.started = False
        self.cancelled = False

    async def run(self, backend: Backend) -> None:
        """Do the work on ``backend``; errors of the backend are raised, and then given to :meth:`fail`."""
        raise TypeError(f"{type(self).__name__} does not say how it runs")

    def cancel(self) -> None:
        """Give up work that has been handed to a backend; :meth:`abandon` is for a queued job."""
        self.cancelled = True

    def abandon(self) -> None:
        """End a job that never reached a backend, as cancelled."""
        self.end(RequestStatus.CANCELLED)

    def fail(self, error: SageInferError) -> None:
        """End the job with ``error``."""
        self.record_failure(error)
        self.end(RequestStatus.FAILED)

    def record_failure(self, error: SageInferError) -> None:
        """Count ``error`` for every sequence that has not ended."""
        for timer in self.timers:
            timer.failed(error.code, self._now())

    def scheduled(self) -> None:
        """Note that the job was handed to an instance; a job that comes back is noted once."""
        self.metadata.status = RequestStatus.RUNNING
        if not self.started:
            self.started = True
            for timer in self.timers:
                timer.scheduled(self._now())

    def end(self, status: RequestStatus) -> None:
        """Set the final status and tell the owner; only the first call counts."""
        if not self.metadata.status.final:
            self.metadata.status = status
            self._on_end()


class GenerationJob(Job[InferenceBackend]):
    """One prompt, giving ``params.n`` sequences numbered from ``first_index`` in the request's stream."""

    def __init__(
        self,
        metadata: RequestMetadata,
        timers: Sequence[SequenceTimer],
        *,
        prompt: Sequence[int],
        params: SamplingParams,
        stream: RequestStream,
        first_index: int,
        on_end: Callable[[], None],
        on_failure: Callable[[], None],
    ) -> None:
        super().__init__(metadata, timers, weight=params.n, on_end=on_end)
        self._prompt = prompt
        self._params = params
        self._stream = stream
        self._first_index = first_index
        self._on_failure = on_failure
        self._stopper: asyncio.Task[None] | None = None
        self._runner: asyncio.Task[None] | None = None
        self._backend: InferenceBackend | None = None
        self._accepted = False
        self._overrun: BackendUnavailable | None = None

    async def run(self, backend: InferenceBackend) -> None:
        """Generate and pass every delta on."""
        self._backend, self._runner = backend, asyncio.current_task()
        self._accepted = False
        try:
            async with asyncio.timeout(START_DEADLINE_S):
                streams = await backend.generate(
                    [self._prompt], self._params, request_id=self.metadata.request_id
                )
        except TimeoutError as error:
            raise BackendOverrun(
                f"the backend of {self.metadata.model_id!r} did not accept a request within {START_DEADLINE_S:g} s"
            ) from error
        self._accepted = True
        if len(streams) != self._params.n:
            raise BackendUnavailable(
                f"the backend of {self.metadata.model_id!r} returned {len(streams)} streams for {self._params.n}"
            )
        if self.cancelled:
            self._stop_backend()
        try:
            await self._pump_all(streams)
        except asyncio.CancelledError:
            if self._overrun is None:
                raise
            raise self._overrun from None
        finally:
            if self._stopper is not None:
                self._stopper.cancel()
        self.end(RequestStatus.CANCELLED if self.cancelled else RequestStatus.FINISHED)

    def cancel(self) -> None:
        """Stop generating; the stream ends when the backend says so."""
        super().cancel()
        if self._accepted:
            self._stop_backend()

    def abandon(self) -> None:
        """End the sequences as cancelled, with nothing computed."""
        prompt_tokens = len(self._prompt)
        usage = Usage(prompt_tokens, 0, 0, 0)
        for index in range(self._params.n):
            self._stream.push(self._first_index + index, TokenDelta((), "", "cancelled", usage=usage))
            self.timers[index].finished("cancelled", None, self._now())
        super().abandon()

    def fail(self, error: SageInferError) -> None:
        """End the whole request with ``error``: its other sequences are given up."""
        self._stream.fail(error)
        super().fail(error)
        self._on_failure()

    async def _pump_all(self, streams: Sequence[TokenStream]) -> None:
        if len(streams) == 1:
            await self._pump(0, streams[0])
            return
        pumps = [asyncio.ensure_future(self._pump(index, stream)) for index, stream in enumerate(streams)]
        try:
            await asyncio.gather(*pumps)
        finally:
            for pump in pumps:
                pump.cancel()

    async def _pump(self, index: int, stream: TokenStream) -> None:
        async for delta in stream:
            now_s = self._now()
            self.timers[index].delta(delta, now_s)
            kv_tokens = self.metadata.kv_cache_size_tokens or 0
            self.metadata.kv_cache_size_tokens = kv_tokens + len(delta.token_ids)
            self._stream.push(self._first_index + index, delta)
            if delta.finish_reason is not None:
                self.timers[index].finished(delta.finish_reason, delta.usage, now_s)
                return
        raise BackendUnavailable(
            f"the backend of {self.metadata.model_id!r} ended {self.metadata.request_id} without a finish reason"
        )

    def _stop_backend(self) -> None:
        if self._stopper is None:
            self._stopper = asyncio.ensure_future(self._stop())

    async def _stop(self) -> None:
        assert self._backend is not None
        try:
            async with asyncio.timeout(STOP_DEADLINE_S):
                await self._backend.cancel(self.metadata.request_id)
                await asyncio.Event().wait()  # run() cancels this wait when the streams have ended
        except (TimeoutError, SageInferError) as error:
            self._overrun = BackendOverrun(
                f"the backend of {self.metadata.model_id!r} did not end {self.metadata.request_id} within "
                f"{STOP_DEADLINE_S:g} s of its cancellation: {error or 'no answer'}"
            )
            if self._runner is not None:
                self._runner.cancel()


class EmbeddingJob(Job[EmbeddingBackend]):
    """Texts to embed, ``batch_size`` at a time; the outcome is put into ``result``."""

    def __init__(
        self,
        metadata: RequestMetadata,
        timer: SequenceTimer,
        *,
        texts: Sequence[str],
        batch_size: int,
        timeout_s: float,
        on_end: Callable[[], None],
    ) -> None:
        super().__init__(metadata, (timer,), weight=min(len(texts), batch_size) or 1, on_end=on_end)
        self._timer = timer
        self._texts = texts
        self._batch_size = batch_size
        self._timeout_s = timeout_s
        self.result: asyncio.Future[EmbeddingResult] = asyncio.get_running_loop().create_future()

    async def run(self, backend: EmbeddingBackend) -> None:
        """Embed. A caller that went away does not stop it: the contract has no way to, so the slot stays taken."""
        try:
            async with asyncio.timeout(self._timeout_s):
                vectors = await backend.embed_batch(self._texts, batch_size=self._batch_size)
                tokens = sum(await backend.count_tokens(self._texts))
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"embedding {len(self._texts)} texts took over {self._timeout_s:g} s"
            ) from error
        self.metadata.prompt_tokens = tokens
        usage = Usage(tokens, 0, tokens, 0)
        self._timer.finished("eos", usage, self._now())
        if not self.result.done():
            self.result.set_result(EmbeddingResult(vectors, tokens))
        self.end(RequestStatus.FINISHED)

    def abandon(self) -> None:
        """Cancel the waiting caller."""
        self._timer.finished("cancelled", None, self._now())
        self.result.cancel()
        super().abandon()

    def fail(self, error: SageInferError) -> None:
        """Hand ``error`` to the waiting caller."""
        if not self.result.done():
            self.result.set_exception(error)
        super().fail(error)
