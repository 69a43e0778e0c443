"""Does calls side by side and reads every stream to its end."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Coroutine, Sequence

from sage_infer_contracts.backend import InferenceBackend
from sage_infer_contracts.states import DecodeState
from sage_infer_contracts.streams import TokenDelta

from ...history.steps import Raised
from .asks import Call
from .findings import Cancelled, Outcome, Queue
from .prompts import Prompts
from .reading import Reading, decoded
from .waiting import SETTLE_S, STALL_S, within

_POLL_S = 0.004


class Serving:
    """One ``serve`` under way. Lives on the event loop."""

    def __init__(self, backend: InferenceBackend, prompts: Prompts, held: int = 0) -> None:
        self._backend = backend
        self._prompts = prompts
        self._held = held
        self._events = itertools.count()
        self._moved = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.readings: list[Reading] = []
        self.most_running = 0
        self.decode_computed: int | None = None

    async def run(self, calls: Sequence[Call]) -> tuple[Outcome, ...]:
        """Do ``calls`` and return one outcome per stream, in the order of the calls."""
        watch = asyncio.create_task(self._watch())
        try:
            if all(call.split and call.cancel is None for call in calls):
                await self._divided(calls)
            else:
                for call in calls:
                    await self.begin(call)
            await asyncio.gather(*self._tasks)
        finally:
            watch.cancel()
        return await self.outcomes()

    async def outcomes(self, *, decode: bool = True) -> tuple[Outcome, ...]:
        """Return what was recorded; without ``decode``, for a backend that is closed, no text is decoded."""
        found = [reading.outcome() for reading in self.readings]
        if not decode:
            return tuple(found)
        tokenizer = self._backend.tokenizer
        return tuple([await decoded(tokenizer, one) if one.finish is not None else one for one in found])

    async def begin(self, call: Call) -> list[Reading]:
        """Submit ``call`` when its time has come, and read on in the background."""
        await self._produced(call.after_tokens)
        if call.split:
            self._go_on(self._split(call))
            await asyncio.sleep(0)
            return []
        before = self._unfinished()
        readings = await self._submit(call)
        await asyncio.sleep(0)
        for reading in readings:
            left = max(0, self._unfinished() - len(readings))
            reading.queue = Queue(before=before, after=left, tokens=self._delivered())
        if any(reading.error is not None for reading in readings):
            return readings
        for reading in readings:
            self._go_on(self._read(reading))
        if call.cancel is not None:
            self._go_on(self._cancel(call, readings))
        return readings

    def _go_on(self, work: Coroutine[None, None, None]) -> None:
        """Do ``work`` in the background; its end is a movement, for a call may wait until nothing is under way."""
        task = asyncio.create_task(work)
        task.add_done_callback(lambda _: self._move())
        self._tasks.append(task)

    async def read_all(self, within_s: float) -> None:
        """Read what was begun for ``within_s`` seconds; what has no end then is told to hang."""
        _, open_still = await asyncio.wait(self._tasks, timeout=within_s) if self._tasks else (set(), set())
        for task in open_still:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for reading in self.readings:
            reading.hung = reading.ended_at is None

    def _delivered(self) -> int:
        return sum(reading.tokens for reading in self.readings)

    def _unfinished(self) -> int:
        return sum(not reading.over for reading in self.readings)

    async def _submit(self, call: Call) -> list[Reading]:
        prompts = [await self._prompts.given(prompt) for prompt in call.prompts]
        ids = [await self._prompts.ids(prompt) for prompt in call.prompts]
        readings = [Reading(call, 0, ids[0])]
        try:
            coroutine = self._backend.generate(prompts, call.params, request_id=call.name)
            streams = await within(coroutine)
        except Exception as error:  # noqa: BLE001 - whatever the subject raises is what is recorded
            readings[0].lengths = tuple(map(len, ids))
            self._fail(readings[0], error)
        else:
            owners = [own for own in ids for _ in range(call.params.n)]
            readings = [
                Reading(call, index, owners[index] if index < len(owners) else (), stream)
                for index, stream in enumerate(streams)
            ]
        self.readings += readings
        return readings

    async def _read(self, reading: Reading) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(STALL_S) as limit:
                assert reading.stream is not None
                async for delta in reading.stream:
                    self._take(reading, delta)
                    limit.reschedule(loop.time() + STALL_S)
                    if delta.finish_reason is not None:
                        break
                    # In turns: else, of what came while the loop was held up, a long output would be read whole first.
                    await asyncio.sleep(0)
            reading.ended_at = next(self._events)
        except Exception as error:  # noqa: BLE001 - whatever the subject raises is what is recorded
            self._fail(reading, error)
        self._move()

    def _take(self, reading: Reading, delta: TokenDelta) -> None:
        reading.deltas.append(delta)
        reading.tokens += len(delta.token_ids)
        if reading.first_at is None:
            reading.first_at = next(self._events)
        self._move()

    def _fail(self, reading: Reading, error: Exception) -> None:
        if isinstance(error, TimeoutError) and Raised.of(error).code is None:
            reading.hung = True
        else:
            reading.error = Raised.of(error)
            reading.ended_at = next(self._events)
        self._move()

    def _move(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()

    async def _movement(self) -> None:
        """Wait until something came or ended, for a while."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._moved.wait(), STALL_S)

    async def _produced(self, tokens: int) -> None:
        """Wait until so many tokens came, or nothing more will."""
        while self._delivered() < tokens:
            if all(task.done() for task in self._tasks):
                return
            await self._movement()

    async def _cancel(self, call: Call, readings: list[Reading]) -> None:
        cancel = call.cancel
        assert cancel is not None
        doomed = readings if cancel.index is None else readings[cancel.index : cancel.index + 1]
        if not doomed:
            return
        while doomed[0].tokens < cancel.after_tokens and not doomed[0].over and not doomed[0].hung:
            await self._movement()
        had_ended = [reading.over for reading in doomed]
        name = call.name if cancel.index is None or len(readings) == 1 else f"{call.name}/{cancel.index}"
        said = await self._stop(name, doomed, by_stream=cancel.by_stream)
        steps = (await self._backend.stats()).steps
        for reading in doomed:
            reading.tokens_at_cancel = reading.tokens
        until = time.monotonic() + STALL_S
        while not all(r.ended_at is not None or r.hung for r in doomed) and time.monotonic() < until:
            await self._movement()
        alone = len(self.readings) == len(doomed)
        freed = await self._steps_until_free(steps) if alone and not all(had_ended) else None
        again = await self._backend.cancel(name)
        for reading, ended in zip(doomed, had_ended, strict=True):
            reading.cancelled = Cancelled(
                said=said, said_again=again, had_ended=ended, steps_until_free=freed,
                tokens_after=reading.tokens - (reading.tokens_at_cancel or 0),
            )  # fmt: skip

    async def _stop(self, name: str, doomed: list[Reading], *, by_stream: bool) -> bool | None:
        if not by_stream:
            return await self._backend.cancel(name)
        for reading in doomed:
            if reading.stream is not None:
                reading.stream.cancel()
        return None

    async def _steps_until_free(self, since: int) -> int:
        """Return the steps until running and waiting are empty and blocks are back; 0 without a step counter."""
        until = time.monotonic() + SETTLE_S
        while True:
            stats = await self._backend.stats()
            if stats.blocks_held <= self._held and not stats.running and not stats.waiting:
                break
            if time.monotonic() > until:
                break
            await asyncio.sleep(0.0005)
        return stats.steps - since

    async def _divided(self, calls: Sequence[Call]) -> None:
        """Prefill everything, then decode everything, so that what decode computes can be told."""
        results = await asyncio.gather(*(self._prefill(call) for call in calls))
        parked = await self._backend.stats()
        work = [self._decode(call, readings) for call, readings in zip(calls, results, strict=True)]
        await asyncio.gather(*work)
        ended = await self._backend.stats()
        if ended.preemptions == parked.preemptions:
            self.decode_computed = ended.computed_tokens - parked.computed_tokens

    async def _split(self, call: Call) -> None:
        await self._decode(call, await self._prefill(call))

    async def _prefill(self, call: Call) -> list[tuple[Reading, DecodeState]]:
        prompts = [await self._prompts.given(prompt) for prompt in call.prompts]
        ids = [await self._prompts.ids(prompt) for prompt in call.prompts]
        try:
            coroutine = self._backend.prefill(prompts, request_id=call.name, params=call.params)
            result = await within(coroutine)
        except Exception as error:  # noqa: BLE001 - whatever the subject raises is what is recorded
            reading = Reading(call, 0, ids[0])
            reading.lengths = tuple(map(len, ids))
            self.readings.append(reading)
            self._fail(reading, error)
            return []
        pairs: list[tuple[Reading, DecodeState]] = []
        for index, (own, sequence) in enumerate(zip(ids, result.sequences, strict=False)):
            reading = Reading(call, index, own)
            self.readings.append(reading)
            self._take(reading, sequence.first)
            if sequence.state is None:
                reading.ended_at = next(self._events)
            else:
                pairs.append((reading, sequence.state))
        return pairs

    async def _decode(self, call: Call, parked: list[tuple[Reading, DecodeState]]) -> None:
        reads = []
        for reading, state in parked:
            name = call.name if len(call.prompts) == 1 else f"{call.name}/{reading.index}"
            try:
                coroutine = self._backend.decode(state, request_id=name)
                reading.stream = (await within(coroutine)).stream
            except Exception as error:  # noqa: BLE001 - whatever the subject raises is what is recorded
                self._fail(reading, error)
            else:
                reads.append(asyncio.create_task(self._read(reading)))
        await asyncio.gather(*reads)

    async def _watch(self) -> None:
        while True:
            stats = await self._backend.stats()
            self.most_running = max(self.most_running, stats.running)
            await asyncio.sleep(_POLL_S)
