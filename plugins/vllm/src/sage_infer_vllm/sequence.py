"""Sequence: one output on its way, as the event loop that feeds its consumer knows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from sage_infer_contracts.sampling import SamplingParams
from sage_infer_contracts.states import DecodeState, DetokeniserState, KVHandle, PrefilledSequence, RngState
from sage_infer_contracts.streams import FinishReason, TokenDelta, TokenLogprob, Usage

from .errors import request_error

Event = TokenDelta | BaseException
Sink = Callable[[Event], None]
"""Where a sequence's events go, on the event loop; an error or a finish reason is the last."""

Decode = Callable[[list[int]], str]
REPLACEMENT = "\ufffd"


@attrs.define(eq=False, slots=True)
class Sequence:
    """One request of the engine, and what has come out of it so far."""

    request_id: str
    group: str
    """Request id of the call, which several sequences share."""

    prompt_token_ids: list[int]
    params: SamplingParams
    seed: int | None
    decode: Decode
    sink: Sink
    engine_id: str = ""
    """The engine's own name of the request; empty until it has accepted it."""

    output_token_ids: list[int] = attrs.field(factory=list)
    emitted_chars: int = 0
    reused_prompt_tokens: int = 0
    ended: bool = False
    unwanted: bool = False
    """Whether it was cancelled, possibly before the engine had a name for it."""

    def put(self, output: Any) -> None:
        """Take what vLLM's output processor has for this request: its ``RequestOutput``, or the error that ends it.

        Stands in for the collector of a ``generate`` call, so that no task and no second queue lie between the
        engine's outputs and the stream.
        """
        if self.ended:
            return
        if isinstance(output, BaseException):
            self.ended = True
            self.sink(request_error(output))
            return
        self.reused_prompt_tokens = output.num_cached_tokens or 0
        completion = output.outputs[0]
        self.output_token_ids += completion.token_ids
        self.emitted_chars += len(completion.text)
        if completion.finish_reason is None:
            self.sink(
                TokenDelta(tuple(completion.token_ids), completion.text, logprobs=_logprobs(completion))
            )
            return
        self.ended = True
        self.sink(self._last(completion))

    def named(self, request_id: str) -> bool:
        """Say whether ``request_id`` means this sequence, or the call it belongs to."""
        return request_id in (self.request_id, self.group)

    def usage(self) -> Usage:
        """Return the token counts so far; the reuse is the engine's own figure (IB-08)."""
        prompt, reused = len(self.prompt_token_ids), self.reused_prompt_tokens
        return Usage(
            prompt_tokens=prompt,
            completion_tokens=len(self.output_token_ids),
            computed_prompt_tokens=prompt - reused,
            reused_prompt_tokens=reused,
        )

    def matches(self, state: DecodeState) -> bool:
        """Say whether ``state`` describes this sequence as it is now."""
        return (
            state.prompt_token_ids == tuple(self.prompt_token_ids)
            and state.output_token_ids == tuple(self.output_token_ids)
            and state.params == self.params
            and state.rng.seed == (self.seed or 0)
        )

    def parked(self, first: TokenDelta, kv: KVHandle) -> PrefilledSequence:
        """Return what a caller needs to go on after the ``first`` token, here or from transferred KV."""
        prompt_tokens, text = len(self.prompt_token_ids), self._text(self.output_token_ids)
        whole = not text.endswith(REPLACEMENT)
        state = DecodeState(
            request_id=self.request_id,
            prompt_token_ids=tuple(self.prompt_token_ids),
            output_token_ids=tuple(self.output_token_ids),
            params=self.params,
            rng=RngState(seed=self.seed or 0, draws=len(self.output_token_ids)),
            detokeniser=DetokeniserState(
                prefix_offset=prompt_tokens,
                read_offset=prompt_tokens + (len(self.output_token_ids) if whole else 0),
                held_text=text[len(first.text) :] if whole else "",
            ),
            kv=kv,
            reused_prompt_tokens=self.reused_prompt_tokens,
        )
        return PrefilledSequence(first, state)

    def _last(self, completion: Any) -> Event:
        reason, stop = self._reason(completion)
        if reason is None:
            return request_error(RuntimeError(ENGINE_ENDED.format(completion.finish_reason)))
        text = completion.text + (self._withheld(reason, completion.text) if reason != "stop_string" else "")
        return TokenDelta(
            tuple(completion.token_ids), text, reason, stop, self.usage(), _logprobs(completion)
        )

    def _reason(self, completion: Any) -> tuple[FinishReason | None, str | int | None]:
        said, stop = completion.finish_reason, completion.stop_reason
        if said == "length":
            return "length", None
        if said == "abort":
            return "cancelled", None
        if said != "stop":
            return None, None
        if isinstance(stop, str):
            return "stop_string", stop
        # A model may name several tokens that end a turn; vLLM reports all but the first like stop tokens.
        if stop is not None and stop in self.params.stop_token_ids:
            return "stop_token", stop
        return "eos", None

    def _withheld(self, reason: FinishReason, text: str) -> str:
        """Return what vLLM leaves out of the text and the tokens do say (IB-06).

        That is the text of a stop token, and the bytes of a character that was cut off by the end.
        """
        if reason != "stop_token" and (text or not self.output_token_ids):
            return ""
        rest = self._text(self.output_token_ids)[self.emitted_chars :]
        return rest if reason == "stop_token" or rest.endswith(REPLACEMENT) else ""

    def _text(self, token_ids: list[int]) -> str:
        """Return the text of output tokens as it follows the prompt: a leading space depends on what precedes."""
        before = self.prompt_token_ids[-1:]
        return self.decode([*before, *token_ids])[len(self.decode(before)) :]


ENGINE_ENDED = "the engine ended the request: {}; its log says why"


def _logprobs(completion: Any) -> tuple[TokenLogprob, ...] | None:
    if completion.logprobs is None:
        return None
    return tuple(
        TokenLogprob(
            token,
            entry[token].logprob,
            tuple(
                (other, found.logprob)
                for other, found in sorted(entry.items(), key=lambda item: item[1].rank)
            ),
        )
        for token, entry in zip(completion.token_ids, completion.logprobs, strict=True)
    )
