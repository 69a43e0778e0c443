"""Streamed output: one delta per engine step, delivered to one consumer on an event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Literal

import attrs

from .errors import BackendUnavailable

FinishReason = Literal["eos", "stop_string", "stop_token", "length", "cancelled"]


@attrs.frozen(slots=True)
class TokenLogprob:
    """Log-probability of one emitted token, and of the most likely alternatives."""

    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


@attrs.frozen(slots=True)
class Usage:
    """Token counts of one finished sequence. ``reused_tokens`` were not computed (IB-08)."""

    prompt_tokens: int
    completion_tokens: int
    computed_prompt_tokens: int
    reused_prompt_tokens: int


@attrs.frozen(slots=True)
class TokenDelta:
    """New tokens of one sequence since the last delta. ``text`` never ends inside a character.

    ``text`` may be empty while bytes of a character, or of a possible stop string, are held back.
    The last delta, and only it, has ``finish_reason`` and ``usage``.
    """

    token_ids: tuple[int, ...]
    text: str
    finish_reason: FinishReason | None = None
    stop_reason: str | int | None = None
    usage: Usage | None = None
    logprobs: tuple[TokenLogprob, ...] | None = None


@attrs.frozen(slots=True)
class Completion:
    """A whole output, collected from a stream."""

    token_ids: tuple[int, ...]
    text: str
    finish_reason: FinishReason
    stop_reason: str | int | None
    usage: Usage


Sink = Callable[[TokenDelta | BaseException], None]
"""Takes the events of a stream; a delta with a finish reason, or an error, is the last."""


class TokenStream:
    """The output of one sequence, as an asynchronous iterator of :class:`TokenDelta`.

    Owned by one event loop: the producer calls :meth:`push` and :meth:`fail` on that loop (an engine thread
    goes through ``loop.call_soon_threadsafe``), one consumer iterates, or has :meth:`forward` call it. The
    buffer is bounded by the request's own ``max_tokens``. Leaving a stream unread costs that buffer; :meth:`cancel`
    ends it.
    """

    def __init__(self, request_id: str, *, on_cancel: Callable[[], None] | None = None) -> None:
        self.request_id = request_id
        self._on_cancel = on_cancel
        self._deltas: deque[TokenDelta] = deque()
        self._error: BaseException | None = None
        self._ended = False
        self._wakeup: asyncio.Future[None] | None = None
        self._sink: Sink | None = None

    @property
    def ended(self) -> bool:
        """Whether the producer delivered the last delta or an error."""
        return self._ended

    def forward(self, sink: Sink) -> None:
        """Hand every event to ``sink`` in place of iteration: what waits here now, and from then on at once.

        ``sink`` runs inside the producer's :meth:`push`, so it must be quick and must not raise. It saves a task and
        a wake-up per token where a stream is only passed on.
        """
        self._sink = sink
        while self._deltas:
            sink(self._deltas.popleft())
        if self._error is not None:
            sink(self._error)

    def push(self, delta: TokenDelta) -> None:
        """Deliver ``delta``; ignored once the stream has ended."""
        if self._ended:
            return
        self._ended = delta.finish_reason is not None
        if self._sink is not None:
            self._sink(delta)
            return
        self._deltas.append(delta)
        self._wake()

    def fail(self, error: BaseException) -> None:
        """End the stream with ``error``, raised after the deltas already delivered."""
        if self._ended:
            return
        self._error, self._ended = error, True
        if self._sink is not None:
            self._sink(error)
            return
        self._wake()

    def cancel(self) -> None:
        """Ask the producer to stop and free what the sequence holds; safe to call at any time."""
        if not self._ended and self._on_cancel is not None:
            self._on_cancel()

    def __aiter__(self) -> TokenStream:
        return self

    async def __anext__(self) -> TokenDelta:
        while not self._deltas:
            if self._error is not None:
                raise self._error
            if self._ended:
                raise StopAsyncIteration
            self._wakeup = asyncio.get_running_loop().create_future()
            await self._wakeup
        return self._deltas.popleft()

    async def collect(self) -> Completion:
        """Read to the end and join the deltas. Cancelling this coroutine cancels the sequence."""
        token_ids: list[int] = []
        text: list[str] = []
        try:
            async for delta in self:
                token_ids.extend(delta.token_ids)
                text.append(delta.text)
                if delta.finish_reason is not None and delta.usage is not None:
                    return Completion(
                        tuple(token_ids), "".join(text), delta.finish_reason, delta.stop_reason, delta.usage
                    )
        except asyncio.CancelledError:
            self.cancel()
            raise
        raise BackendUnavailable(f"stream {self.request_id} ended without a finish reason")

    def _wake(self) -> None:
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)
