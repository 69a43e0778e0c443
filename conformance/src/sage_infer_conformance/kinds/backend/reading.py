"""One stream under observation, and what is recorded of it."""

from __future__ import annotations

import attrs

from sage_infer_contracts.backend import Tokenizer
from sage_infer_contracts.streams import TokenDelta, TokenStream

from ...history.steps import Raised
from .asks import Call
from .findings import Cancelled, Delta, Logprob, Outcome, Queue, Usage


@attrs.define(slots=True)
class Reading:
    """One stream under observation."""

    call: Call
    index: int
    prompt_ids: tuple[int, ...]
    stream: TokenStream | None = None
    deltas: list[TokenDelta] = attrs.field(factory=list)
    tokens: int = 0
    tokens_at_cancel: int | None = None
    error: Raised | None = None
    hung: bool = False
    first_at: int | None = None
    ended_at: int | None = None
    cancelled: Cancelled | None = None
    queue: Queue | None = None
    lengths: tuple[int, ...] = ()

    @property
    def over(self) -> bool:
        """Whether its end was delivered."""
        return self.ended_at is not None or (self.stream is not None and self.stream.ended)

    def outcome(self) -> Outcome:
        """Return what is to be recorded."""
        last = self.deltas[-1] if self.deltas else None
        usage = last.usage if last is not None else None
        stream = self.stream
        return Outcome(
            call=self.call.name,
            index=self.index,
            stream=stream.request_id if stream is not None else None,
            prompt_ids=self.prompt_ids,
            deltas=tuple(Delta(tokens=tuple(d.token_ids), text=d.text, last=d.finish_reason is not None)
                         for d in self.deltas),
            finish=last.finish_reason if last is not None else None,
            stop=last.stop_reason if last is not None else None,
            usage=None if usage is None else Usage(
                prompt=usage.prompt_tokens, completion=usage.completion_tokens,
                computed=usage.computed_prompt_tokens, reused=usage.reused_prompt_tokens,
            ),
            logprobs=tuple(
                Logprob(token=one.token_id, logprob=one.logprob, top=tuple(one.top))
                for delta in self.deltas for one in delta.logprobs or ()
            ),
            error=self.error,
            lengths=self.lengths,
            began=stream is not None or bool(self.deltas),
            hung=self.hung,
            queue=self.queue,
            first_at=self.first_at,
            ended_at=self.ended_at,
            cancelled=self.cancelled,
        )  # fmt: skip


async def decoded(tokenizer: Tokenizer, outcome: Outcome) -> Outcome:
    """Add the text of the whole output, alone and as it follows the prompt."""
    alone = await tokenizer.decode(outcome.tokens)
    before = await tokenizer.decode(outcome.prompt_ids)
    after = (await tokenizer.decode((*outcome.prompt_ids, *outcome.tokens))).removeprefix(before)
    return outcome.model_copy(update={"decoded": (alone,) if alone == after else (alone, after)})
