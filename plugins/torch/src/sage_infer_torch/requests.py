"""Requests: checks before any work starts, and the live sequences as the event loop knows them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence as Items

from sage_infer_contracts.errors import CapacityExceeded, InvalidRequest
from sage_infer_contracts.sampling import SamplingParams
from sage_infer_contracts.states import PrefilledSequence
from sage_infer_contracts.streams import TokenStream

from .detokenizer import Decode, Detokenizer
from .limits import EngineLimits
from .sequence import Event, Sequence, Sink
from .stops import StopMatcher


class Requests:
    """Sequences that are queued or running. Used on the event loop only, so a check and its change are one."""

    def __init__(self, limits: EngineLimits) -> None:
        self._limits = limits
        self._live: dict[str, list[Sequence]] = {}
        self._cancelled: set[Sequence] = set()
        self.count = 0

    def reserve(self, request_id: str, count: int) -> None:
        """Check that ``count`` sequences may enter under ``request_id``.

        Raises ``CapacityExceeded`` when they are too many now, ``InvalidRequest`` when they always are or the
        id is taken.
        """
        limits, bound = self._limits, self._limits.max_live
        described = (
            f"max_batch_size {limits.max_batch_size} + max_waiting_requests {limits.max_waiting_requests}"
        )
        if count > bound:
            raise InvalidRequest(
                f"{count} prompts in one call; the limit is {described} = {bound}", param="prompts"
            )
        if request_id in self._live:
            raise InvalidRequest(f"request id {request_id!r} is in use", param="request_id")
        if self.count + count > bound:
            raise CapacityExceeded(
                f"{self.count} sequences are running or waiting and {count} more are asked for; "
                f"the limit is {described} = {bound}; try again later"
            )

    def enter(self, sequence: Sequence) -> None:
        """Take note of a sequence that goes to the engine."""
        for name in {sequence.request_id, sequence.group}:
            self._live.setdefault(name, []).append(sequence)
        self.count += 1

    def leave(self, sequence: Sequence) -> None:
        """Forget a sequence that is over or parked."""
        for name in {sequence.request_id, sequence.group}:
            self._live[name].remove(sequence)
            if not self._live[name]:
                del self._live[name]
        self._cancelled.discard(sequence)
        self.count -= 1

    def to_cancel(self, request_id: str) -> tuple[bool, list[Sequence]]:
        """Say whether the request is live, and which of its sequences were not told to stop yet."""
        live = self._live.get(request_id, [])
        fresh = [sequence for sequence in live if sequence not in self._cancelled]
        self._cancelled.update(fresh)
        return bool(live), fresh

    def all(self) -> list[Sequence]:
        """Return every live sequence."""
        return list({sequence: None for group in self._live.values() for sequence in group})


class StreamSink:
    """Feeds a :class:`TokenStream`; ``on_end`` is called once, at its end."""

    def __init__(self, stream: TokenStream, on_end: Callable[[], None]) -> None:
        self._stream = stream
        self._on_end = on_end

    def __call__(self, event: Event) -> None:
        """Pass on a delta or an error."""
        if self._stream.ended or isinstance(event, PrefilledSequence):
            return
        if isinstance(event, BaseException):
            self._stream.fail(event)
        else:
            self._stream.push(event)
        if self._stream.ended:
            self._on_end()


class PrefillSink:
    """Completes a future with a prefilled sequence; ``on_end`` is called once."""

    def __init__(self, future: asyncio.Future[PrefilledSequence], on_end: Callable[[], None]) -> None:
        self._future = future
        self._on_end = on_end
        self._ended = False

    def __call__(self, event: Event) -> None:
        """Take the one event of a prefill. A delta means that its first token was also its last."""
        if self._ended:
            return
        self._ended = True
        self._on_end()
        if self._future.done():
            return
        if isinstance(event, BaseException):
            self._future.set_exception(event)
        else:
            self._future.set_result(
                event if isinstance(event, PrefilledSequence) else PrefilledSequence(event, None)
            )


def check_prompt(prompt: Items[int], params: SamplingParams, limits: EngineLimits, vocabulary: int) -> None:
    """Raise ``InvalidRequest`` naming the limit that ``prompt`` with ``params`` breaks."""
    longest, length = limits.max_sequence_length, len(prompt)
    if length == 0:
        raise InvalidRequest("the prompt has no tokens", param="prompt")
    for token in prompt:
        if not isinstance(token, int) or isinstance(token, bool) or not 0 <= token < vocabulary:
            raise InvalidRequest(f"{token!r} is no token id; they are 0 to {vocabulary - 1}", param="prompt")
    if length + 1 > longest:
        raise InvalidRequest(
            f"the prompt has {length} tokens; max_sequence_length is {longest}, prompt and output together",
            param="prompt",
        )
    if params.max_tokens is not None and length + params.max_tokens > longest:
        raise InvalidRequest(
            f"the prompt has {length} tokens and max_tokens is {params.max_tokens}, together more than "
            f"max_sequence_length {longest}; at most {longest - length} fit",
            param="max_tokens",
        )


def new_sequence(
    prompt: Items[int], params: SamplingParams, *, request_id: str, group: str, sink: Sink, limits: EngineLimits,
    decode: Decode, park: bool,
) -> Sequence:  # fmt: skip
    """Return a sequence for a checked prompt; without a seed of its own it gets a random one."""
    room = limits.max_sequence_length - len(prompt)
    return Sequence(
        request_id=request_id,
        group=group,
        sink=sink,
        token_ids=list(prompt),
        prompt_tokens=len(prompt),
        max_total_tokens=len(prompt) + (params.max_tokens or room),
        params=params,
        seed=secrets.randbits(63) if params.seed is None else params.seed,
        detokenizer=Detokenizer(decode, len(prompt)),
        stops=StopMatcher(params.stop),
        park=park,
    )
