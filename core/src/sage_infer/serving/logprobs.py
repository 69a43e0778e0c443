"""Log-probabilities in the two forms the API has."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypedDict

from sage_infer_contracts.streams import TokenLogprob

LEAST = -9999.0
"""What the API shows for a probability of zero, whose logarithm JSON cannot express."""

TokenTexts = Callable[[Sequence[int]], Awaitable[list[str]]]


class ChatAlternative(TypedDict):
    """One token and its log-probability; ``bytes`` is null when the token is no whole character."""

    token: str
    logprob: float
    bytes: list[int] | None


class ChatToken(ChatAlternative):
    """An emitted token with its alternatives."""

    top_logprobs: list[ChatAlternative]


class CompletionLogprobs(TypedDict):
    """Parallel lists, one entry per token."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]] | None
    text_offset: list[int]


async def chat_logprobs(entries: Sequence[TokenLogprob], texts_of: TokenTexts) -> list[ChatToken]:
    """Return the ``content`` list of a chat choice's log-probabilities."""
    texts = await _texts(entries, texts_of)
    return [
        ChatToken(
            **_alternative(texts[entry.token_id], entry.logprob),
            top_logprobs=[_alternative(texts[token], logprob) for token, logprob in entry.top],
        )
        for entry in entries
    ]


async def completion_logprobs(
    entries: Sequence[TokenLogprob], texts_of: TokenTexts, *, offset: int
) -> CompletionLogprobs:
    """Return a completion choice's log-probabilities; ``offset`` is where its text goes on, in characters."""
    texts = await _texts(entries, texts_of)
    tokens = [texts[entry.token_id] for entry in entries]
    offsets = []
    for token in tokens:
        offsets.append(offset)
        offset += len(token)
    return CompletionLogprobs(
        tokens=tokens,
        token_logprobs=[_finite(entry.logprob) for entry in entries],
        top_logprobs=[{texts[t]: _finite(logprob) for t, logprob in entry.top} for entry in entries]
        if any(entry.top for entry in entries)
        else None,
        text_offset=offsets,
    )


async def _texts(entries: Sequence[TokenLogprob], texts_of: TokenTexts) -> dict[int, str]:
    wanted = sorted({token for entry in entries for token in (entry.token_id, *(t for t, _ in entry.top))})
    return dict(zip(wanted, await texts_of(wanted), strict=True))


def _alternative(text: str, logprob: float) -> ChatAlternative:
    whole = "\ufffd" not in text
    return ChatAlternative(
        token=text, logprob=_finite(logprob), bytes=list(text.encode("utf-8", "replace")) if whole else None
    )


def _finite(logprob: float) -> float:
    return max(logprob, LEAST)
