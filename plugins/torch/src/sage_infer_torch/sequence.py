"""Sequence: one prompt on its way to an output, owned by the engine thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import attrs

from sage_infer_contracts.content import ContentKey
from sage_infer_contracts.sampling import SamplingParams
from sage_infer_contracts.states import DecodeState, PrefilledSequence
from sage_infer_contracts.streams import TokenDelta, Usage

from .detokenizer import Detokenizer
from .stops import StopMatcher

if TYPE_CHECKING:
    from .logit_edits import TokenCounts

Event = TokenDelta | PrefilledSequence | BaseException


class Sink(Protocol):
    """Where a sequence's events go; called on the event loop, never on the engine thread."""

    def __call__(self, event: Event) -> None:
        """Take the next event; an error, a finish reason or a ``PrefilledSequence`` is the last."""
        ...


@attrs.define(eq=False, slots=True)
class Sequence:
    """Tokens and KV of one output.

    ``token_ids`` is prompt and output; KV exists for its first ``num_computed``. A step computes KV for some of
    the rest, and when it reaches the end the logits there give the next token. Prefill, decode and recompute
    after preemption are all this one rule.
    """

    request_id: str
    group: str
    """Request id of the call, which several prompts share."""

    sink: Sink
    token_ids: list[int]
    prompt_tokens: int
    max_total_tokens: int
    params: SamplingParams
    seed: int
    detokenizer: Detokenizer
    stops: StopMatcher
    park: bool = False
    """Whether to stop after the first token and wait for decode under a lease."""

    arrival: int = 0
    num_computed: int = 0
    blocks: list[int] = attrs.field(factory=list)
    keys: list[ContentKey] = attrs.field(factory=list)
    reused_prompt_tokens: int = 0
    started: bool = False
    """Whether the first token was sampled: reuse has been counted."""

    last_step: int = -1
    counts: TokenCounts | None = None
    """Occurrences of tokens, once penalties asked for them."""

    leader: Sequence | None = None
    """The first of several outputs of one prompt, whose blocks the others wait for."""

    shares: bool = True
    """Whether its blocks may be found by others; not where their content was computed elsewhere."""

    finished: bool = False

    @property
    def remaining(self) -> int:
        """Tokens whose KV has to be computed before the next token can be sampled."""
        return len(self.token_ids) - self.num_computed

    @property
    def output_tokens(self) -> int:
        """Tokens generated so far."""
        return len(self.token_ids) - self.prompt_tokens

    def named(self, request_id: str) -> bool:
        """Say whether ``request_id`` means this sequence, or the call it belongs to."""
        return request_id in (self.request_id, self.group)

    def usage(self) -> Usage:
        """Return the token counts so far."""
        return Usage(
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.output_tokens,
            computed_prompt_tokens=self.prompt_tokens - self.reused_prompt_tokens,
            reused_prompt_tokens=self.reused_prompt_tokens,
        )

    def matches(self, state: DecodeState) -> bool:
        """Say whether ``state`` describes this sequence as it is now."""
        return (
            state.prompt_token_ids == tuple(self.token_ids[: self.prompt_tokens])
            and state.output_token_ids == tuple(self.token_ids[self.prompt_tokens :])
            and state.params == self.params
            and state.rng.seed == self.seed
        )


def new_probe(token_ids: list[int], blocks: list[int]) -> Sequence:
    """Return a sequence that only has tokens and blocks, for a forward outside of any request."""
    return Sequence(
        request_id="probe",
        group="probe",
        sink=lambda event: None,
        token_ids=token_ids,
        prompt_tokens=len(token_ids),
        max_total_tokens=len(token_ids),
        params=SamplingParams(),
        seed=0,
        detokenizer=Detokenizer(lambda ids: "", 0),
        stops=StopMatcher(()),
        blocks=blocks,
    )
