"""Requests on a running engine: submitted, cancelled, parked between prefill and decode, resumed, given up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any

from sage_infer_contracts.engines.leases import LeaseTable
from sage_infer_contracts.engines.live import LiveRequests
from sage_infer_contracts.errors import SageInferError
from sage_infer_contracts.states import DecodeState, PrefilledSequence
from sage_infer_contracts.streams import TokenDelta, TokenStream

from .description import Description
from .engine import Engine
from .errors import request_error
from .sampling import to_vllm
from .sequence import Event, Sequence

MIN_TIMER_S = 0.01


class Requests:
    """Belongs to the event loop that started the engine; nothing else touches it."""

    def __init__(
        self,
        engine: Engine,
        description: Description,
        lease_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._limits = description.limits
        self.live: LiveRequests[Sequence] = LiveRequests(description.limits)
        self.leases: LeaseTable[Sequence] = LeaseTable(lease_s, clock)
        self._expiry: asyncio.TimerHandle | None = None
        self._aborts: set[asyncio.Task[None]] = set()

    async def submit(self, sequences: list[Sequence], mark: Mapping[str, str] | None = None) -> None:
        """Hand reserved sequences to the engine: all of them, or none and the error is raised."""
        for sequence in sequences:
            self.live.enter(sequence)
        try:
            for sequence in sequences:
                await self._add(sequence, mark)
        except BaseException as error:
            self._fail(sequences, error)
            await self.abort(sequences)
            if isinstance(error, Exception):
                raise request_error(error) from error
            raise

    def stream(self, sequence: Sequence) -> TokenStream:
        """Return the stream that ``sequence`` feeds from now on."""
        name = sequence.request_id
        stream = TokenStream(name, on_cancel=lambda: self._soon(self.cancel(name)))

        def sink(event: Event) -> None:
            if isinstance(event, BaseException):
                stream.fail(event)
            else:
                stream.push(event)
            if stream.ended:
                self.live.leave(sequence)

        sequence.sink = sink
        return stream

    def prefilled(self, sequence: Sequence) -> asyncio.Future[PrefilledSequence]:
        """Return the future of a sequence that parks after its first token, under a lease from then on."""
        future: asyncio.Future[PrefilledSequence] = asyncio.get_running_loop().create_future()

        def sink(event: Event) -> None:
            sequence.sink = _ignore
            self.live.leave(sequence)
            if isinstance(event, BaseException):
                if not future.done():
                    future.set_exception(event)
                    future.exception()  # a caller that left will not look at it
            elif event.finish_reason is not None:
                _settle(future, PrefilledSequence(event, None))
            elif future.done():
                self._soon(self.abort([sequence]))
            else:
                future.set_result(self._park(sequence, event))

        sequence.sink = sink
        return future

    async def resume(self, state: DecodeState, request_id: str, mark: Mapping[str, str]) -> TokenStream:
        """End the lease of ``state`` and let its sequence go on as ``request_id``."""
        self.live.reserve(request_id, 1)
        sequence = self.leases.take(state)
        sequence.request_id = sequence.group = request_id
        stream = self.stream(sequence)
        self.live.enter(sequence)
        try:
            await self._engine.resume(sequence.engine_id, mark)
        except BaseException as error:
            self._fail([sequence], error)
            await self.abort([sequence])  # its lease is over, so nothing else would
            if isinstance(error, Exception):
                raise request_error(error) from error
            raise
        return stream

    async def cancel(self, request_id: str) -> bool:
        """Stop the live and the parked sequences of a request; False if there are none."""
        live, fresh = self.live.to_cancel(request_id)
        parked = self.leases.take_request(request_id)
        await self.abort([*fresh, *parked])
        return live or bool(parked)

    async def abort(self, sequences: Iterable[Sequence]) -> None:
        """Tell the engine to drop sequences; each that has not ended gets its last event before this returns."""
        known, handed_over = [], []
        for sequence in sequences:
            sequence.unwanted = True
            if sequence.engine_id:
                known.append(sequence.engine_id)
            else:
                # Perhaps on its way: vLLM then knows it by our name. What it does not know it ignores.
                handed_over.append(sequence.request_id)
        if self._engine.died:
            return
        if known:
            await self._engine.llm.abort(known, internal=True)
        if handed_over:
            await self._engine.llm.abort(handed_over)

    async def close(self, error: SageInferError) -> None:
        """End what is pending with ``error``; the engine is about to go."""
        if self._expiry is not None:
            self._expiry.cancel()
        self._fail(self.live.all(), error)
        for task in self._aborts:
            task.cancel()
        await asyncio.gather(*self._aborts, return_exceptions=True)

    async def _add(self, sequence: Sequence, mark: Mapping[str, str] | None) -> None:
        from vllm.inputs.engine import tokens_input

        prompt = sequence.prompt_token_ids
        room = self._limits.max_sequence_length - len(prompt)
        collector = await self._engine.llm.add_request(
            sequence.request_id,
            tokens_input(prompt),
            to_vllm(
                sequence.params,
                max_tokens=sequence.params.max_tokens or room,
                seed=sequence.seed,
                extra_args=mark,
            ),
        )
        sequence.engine_id = collector.request_id
        # From here on outputs go straight to the sequence; what came before is in the collector.
        early, collector.put = collector.output, sequence.put
        if early is not None:
            sequence.put(early)
        if sequence.unwanted:
            await self.abort([sequence])

    def _park(self, sequence: Sequence, first: TokenDelta) -> PrefilledSequence:
        parked = sequence.parked(first, self.leases.grant(sequence))
        self._watch_leases()
        return parked

    def _watch_leases(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        delay_s = self.leases.next_expiry_s()
        if delay_s is not None:
            self._expiry = asyncio.get_running_loop().call_later(max(delay_s, MIN_TIMER_S), self._expire)

    def _expire(self) -> None:
        expired = self.leases.take_expired()
        if expired:
            self._soon(self.abort(expired))
        self._watch_leases()

    def _fail(self, sequences: Iterable[Sequence], error: BaseException) -> None:
        reason = error if isinstance(error, Exception) else asyncio.CancelledError()
        for sequence in sequences:
            if not sequence.ended:
                sequence.put(reason)

    def _soon(self, work: Coroutine[Any, Any, object]) -> None:
        async def run() -> None:
            try:
                await work
            except SageInferError:
                return  # the engine is gone, and its streams have been told

        task = asyncio.ensure_future(run())
        self._aborts.add(task)
        task.add_done_callback(self._aborts.discard)


def _ignore(event: Event) -> None:
    """A parked sequence has no consumer."""


def _settle(future: asyncio.Future[PrefilledSequence], result: PrefilledSequence) -> None:
    if not future.done():
        future.set_result(result)
