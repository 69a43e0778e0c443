"""Where a sequence's events go, and how a checked prompt becomes a sequence."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import struct
from collections.abc import Callable, Sequence as Items

from sage_infer_contracts.errors import InvalidRequest
from sage_infer_contracts.sampling import SamplingParams
from sage_infer_contracts.states import DecodeState, PrefilledSequence
from sage_infer_contracts.streams import TokenStream

from .detokenizer import Decode, Detokenizer
from .limits import EngineLimits
from .sequence import Event, Sequence, Sink
from .stops import StopMatcher


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


def new_sequence(
    prompt: Items[int], params: SamplingParams, *, request_id: str, group: str, sink: Sink, limits: EngineLimits,
    decode: Decode, park: bool = False, index: int = 0, leader: Sequence | None = None,
) -> Sequence:  # fmt: skip
    """Return the ``index``-th output of a checked prompt; without a seed of its own it gets a random one."""
    room = limits.max_sequence_length - len(prompt)
    return Sequence(
        request_id=request_id,
        group=group,
        sink=sink,
        token_ids=list(prompt),
        prompt_tokens=len(prompt),
        max_total_tokens=len(prompt) + (params.max_tokens or room),
        params=params,
        seed=secrets.randbits(63) if params.seed is None else output_seed(params.seed, index),
        detokenizer=Detokenizer(decode, len(prompt)),
        stops=StopMatcher(params.stop),
        park=park,
        leader=leader,
    )


def restored_sequence(state: DecodeState, *, limits: EngineLimits, decode: Decode) -> Sequence:
    """Return the sequence that ``state`` describes, without KV; raises ``InvalidRequest`` if it fits no engine here."""
    limits.check(state.prompt_token_ids, state.params)
    limits.check(
        [*state.prompt_token_ids, *state.output_token_ids],
        state.params.model_copy(update={"max_tokens": None}),
    )
    if state.rng.draws != len(state.output_token_ids):
        raise InvalidRequest(
            f"state of request {state.request_id!r} cannot be used: it has {len(state.output_token_ids)} tokens of "
            f"output and drew {state.rng.draws}",
            param="state",
        )
    nowhere: Sink = lambda event: None  # noqa: E731 - replaced when it is decoded
    sequence = new_sequence(
        state.prompt_token_ids, state.params, request_id=state.request_id, group=state.request_id, sink=nowhere,
        limits=limits, decode=decode,
    )  # fmt: skip
    sequence.token_ids.extend(state.output_token_ids)
    sequence.seed, sequence.reused_prompt_tokens = state.rng.seed, state.reused_prompt_tokens
    sequence.detokenizer.prefix_offset = state.detokeniser.prefix_offset
    sequence.detokenizer.read_offset = state.detokeniser.read_offset
    sequence.stops.held = state.detokeniser.held_text
    sequence.started, sequence.shares = True, False
    return sequence


def output_seed(seed: int, index: int) -> int:
    """Return the seed of the ``index``-th output of a prompt; the first has the request's own."""
    if index == 0:
        return seed
    digest = hashlib.blake2b(struct.pack("<qQ", seed, index), digest_size=8, person=b"output").digest()
    return int(struct.unpack("<q", digest)[0])
