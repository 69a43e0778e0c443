"""Joins deltas into what an answer shows: text per choice, finish reasons and usage."""

from __future__ import annotations

import time
from typing import TypedDict
from uuid import uuid4

import attrs

from sage_infer_contracts.errors import BackendUnavailable
from sage_infer_contracts.streams import FinishReason, TokenDelta, TokenLogprob

from ..control_plane.streams import Batch

FINISH = {"eos": "stop", "stop_string": "stop", "stop_token": "stop", "length": "length"}
"""OpenAI's names for how an output ended; a cancelled one is an error, not an answer."""


class CachedTokens(TypedDict):
    """Details of the prompt tokens."""

    cached_tokens: int


class UsageDict(TypedDict):
    """OpenAI's usage object."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: CachedTokens


@attrs.frozen
class AnswerHead:
    """The fields that every chunk of an answer repeats."""

    id: str
    created: int
    model: str

    @classmethod
    def new(cls, prefix: str, model: str) -> AnswerHead:
        """Return a head with a fresh unique id."""
        return cls(f"{prefix}-{uuid4().hex}", int(time.time()), model)


@attrs.define(slots=True)
class Piece:
    """New output of one choice; several deltas that arrived together make one piece."""

    index: int
    text: str = ""
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    finish_reason: FinishReason | None = None

    @property
    def empty(self) -> bool:
        """Whether there is nothing to send yet."""
        return not (self.text or self.logprobs or self.finish_reason)

    @property
    def finish(self) -> str:
        """OpenAI's name for how a whole output ended."""
        if self.finish_reason is None:
            raise BackendUnavailable(f"choice {self.index} has no finish reason")
        return FINISH[self.finish_reason]

    def add(self, delta: TokenDelta) -> None:
        """Append ``delta``."""
        self.text += delta.text
        self.token_ids += delta.token_ids
        self.logprobs += delta.logprobs or ()
        self.finish_reason = delta.finish_reason or self.finish_reason


class Totals:
    """Token counts of a request with ``n`` choices per prompt; a prompt counts once, whatever ``n``."""

    def __init__(self, *, prompt_tokens: int, n: int) -> None:
        self._prompt_tokens = prompt_tokens
        self._n = n
        self._completion_tokens = 0
        self._reused_tokens = 0

    def take(self, batch: Batch) -> list[Piece]:
        """Count ``batch`` and return its pieces, one per choice, in the order of their first delta."""
        pieces: dict[int, Piece] = {}
        for index, delta in batch:
            pieces.setdefault(index, Piece(index)).add(delta)
            self._completion_tokens += len(delta.token_ids)
            if delta.usage is not None and index % self._n == 0:
                self._reused_tokens += delta.usage.reused_prompt_tokens
        return list(pieces.values())

    def usage(self) -> UsageDict:
        """Return the counts so far."""
        return UsageDict(
            prompt_tokens=self._prompt_tokens,
            completion_tokens=self._completion_tokens,
            total_tokens=self._prompt_tokens + self._completion_tokens,
            prompt_tokens_details=CachedTokens(cached_tokens=self._reused_tokens),
        )
