"""One prompt on its way to an output."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from sage_infer_contracts.sampling import SamplingParams
from sage_infer_contracts.states import DecodeState, DetokeniserState, KVHandle, PrefilledSequence, RngState
from sage_infer_contracts.streams import TokenDelta, TokenLogprob, Usage

from .text import Detokenizer, StopStrings

Event = TokenDelta | PrefilledSequence | BaseException


def _unheard(event: Event) -> None:
    """A sequence that is parked has no listener."""


@attrs.define(eq=False, slots=True)
class Sequence:
    """Tokens, KV and what is needed to go on; owned by the engine, and by its lease while it is parked."""

    request_id: str
    group: str
    tokens: list[int]
    prompt_tokens: int
    max_total_tokens: int
    params: SamplingParams
    seed: int
    sink: Callable[[Event], None] = _unheard
    """Takes events on the event loop."""

    park: bool = False
    """Whether it stops after its first token and waits for decode."""

    table: list[int] = attrs.field(factory=list)
    computed: int = 0
    reused: int = 0
    started: bool = False
    ended: bool = False
    detokenizer: Detokenizer = attrs.field(factory=Detokenizer)
    stops: StopStrings = attrs.field(init=False)
    logprobs: list[TokenLogprob] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.stops = StopStrings(self.params.stop)

    @property
    def prompt(self) -> list[int]:
        """The tokens it began with."""
        return self.tokens[: self.prompt_tokens]

    @property
    def output(self) -> list[int]:
        """The tokens it has produced."""
        return self.tokens[self.prompt_tokens :]

    def usage(self) -> Usage:
        """Return the token counts so far."""
        done = self.prompt_tokens
        return Usage(done, len(self.tokens) - done, done - self.reused, self.reused)

    def named(self, request_id: str) -> bool:
        """Say whether ``request_id`` means this sequence, or the call it belongs to."""
        return request_id in (self.request_id, self.group)

    def matches(self, state: DecodeState) -> bool:
        """Say whether ``state`` describes this sequence as it is now."""
        return (
            state.prompt_token_ids == tuple(self.prompt)
            and state.output_token_ids == tuple(self.output)
            and state.params == self.params
            and state.rng.seed == self.seed
        )

    def state(self, handle: KVHandle) -> DecodeState:
        """Return what decode needs to go on from here."""
        return DecodeState(
            request_id=self.request_id,
            prompt_token_ids=tuple(self.prompt),
            output_token_ids=tuple(self.output),
            params=self.params,
            rng=RngState(seed=self.seed, draws=len(self.output)),
            detokeniser=DetokeniserState(
                prefix_offset=0, read_offset=len(self.output), held_text=self.stops.held
            ),
            kv=handle,
            reused_prompt_tokens=self.reused,
        )


def sequence_of(state: DecodeState, max_sequence_length: int) -> Sequence:
    """Return the sequence that ``state`` describes, without its KV."""
    room = max_sequence_length - len(state.prompt_token_ids)
    sequence = Sequence(
        request_id=state.request_id,
        group=state.request_id,
        tokens=[*state.prompt_token_ids, *state.output_token_ids],
        prompt_tokens=len(state.prompt_token_ids),
        max_total_tokens=len(state.prompt_token_ids) + (state.params.max_tokens or room),
        params=state.params,
        seed=state.rng.seed,
        reused=state.reused_prompt_tokens,
        started=True,
    )
    for token in state.output_token_ids:
        sequence.stops.feed(sequence.detokenizer.feed(token))
    return sequence
