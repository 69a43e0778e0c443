"""The unit of work that generates: one prompt, on one backend."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from sage_infer_contracts.backend import InferenceBackend
from sage_infer_contracts.errors import BackendUnavailable, SageInferError
from sage_infer_contracts.sampling import SamplingParams
from sage_infer_contracts.streams import TokenDelta, TokenStream, Usage

from .jobs import Job
from .metrics_collector import SequenceTimer
from .streams import RequestStream
from .types import RequestMetadata, RequestStatus

START_DEADLINE_S = 60.0
"""How long ``generate`` may take to accept a request and return its streams."""
STOP_DEADLINE_S = 30.0
"""How long a backend may take to end a cancelled request (IB-04) before it counts as unwell."""


class BackendOverrun(BackendUnavailable):
    """The backend did not start or end a request by its deadline."""


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
            await self._forward_all(streams)
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

    async def _forward_all(self, streams: Sequence[TokenStream]) -> None:
        """Pass every event on where it arrives, and wait until all streams have ended or one has failed."""
        ends = [asyncio.get_running_loop().create_future() for _ in streams]
        for index, (stream, end) in enumerate(zip(streams, ends, strict=True)):
            stream.forward(partial(self._pass_on, index, end))
        try:
            await asyncio.gather(*ends)
        finally:
            for end in ends:
                if not end.cancel() and not end.cancelled():
                    end.exception()  # of several that failed, only one is raised

    def _pass_on(self, index: int, end: asyncio.Future[None], event: TokenDelta | BaseException) -> None:
        if end.done():
            return
        if isinstance(event, BaseException):
            end.set_exception(event)
            return
        now_s = self._now()
        self.timers[index].delta(event, now_s)
        kv_tokens = self.metadata.kv_cache_size_tokens or 0
        self.metadata.kv_cache_size_tokens = kv_tokens + len(event.token_ids)
        self._stream.push(self._first_index + index, event)
        if event.finish_reason is not None:
            self.timers[index].finished(event.finish_reason, event.usage, now_s)
            end.set_result(None)

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
