"""From prompts or messages to token ids, with the model's own tokenizer and within its limits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sage_infer_contracts.backend import InferenceBackend
from sage_infer_contracts.errors import DeadlineExceeded, InvalidRequest, SageInferError
from sage_infer_contracts.sampling import SamplingParams

from .errors import ContextLengthExceeded
from .requests import GenerateRequest

ENCODE_DEADLINE_S = 60.0


async def encode(backend: InferenceBackend, request: GenerateRequest) -> list[Sequence[int]]:
    """Return the token ids of each prompt, checked against the backend's limits.

    Raises ``InvalidRequest`` (``ContextLengthExceeded`` among them) or ``DeadlineExceeded``.
    """
    try:
        async with asyncio.timeout(ENCODE_DEADLINE_S):
            prompts = await _token_ids(backend, request)
    except TimeoutError as error:
        raise DeadlineExceeded(f"tokenising the prompt took over {ENCODE_DEADLINE_S:g} s") from error
    except SageInferError:
        raise
    except Exception as error:
        raise SageInferError(f"the tokenizer failed: {type(error).__name__}: {error}") from error
    limit = backend.get_capability().max_sequence_length
    for prompt in prompts:
        _check_length(len(prompt), request.params, limit, chat=request.messages is not None)
    return prompts


async def decode_each(backend: InferenceBackend, token_ids: Sequence[int]) -> list[str]:
    """Return the text of each token by itself; a token that is part of a character gives U+FFFD."""
    try:
        async with asyncio.timeout(ENCODE_DEADLINE_S):
            return [await backend.tokenizer.decode([token]) for token in token_ids]
    except TimeoutError as error:
        raise DeadlineExceeded(
            f"decoding {len(token_ids)} tokens took over {ENCODE_DEADLINE_S:g} s"
        ) from error


async def _token_ids(backend: InferenceBackend, request: GenerateRequest) -> list[Sequence[int]]:
    if request.messages is not None:
        return [await backend.tokenizer.encode_chat(request.messages)]
    return [
        await backend.tokenizer.encode(prompt) if isinstance(prompt, str) else prompt
        for prompt in request.prompts
    ]


def _check_length(tokens: int, params: SamplingParams, limit: int, *, chat: bool) -> None:
    param = "messages" if chat else "prompt"
    if tokens == 0:
        raise InvalidRequest("the prompt has no tokens; give at least one", param=param)
    if tokens >= limit:
        raise ContextLengthExceeded(
            f"the prompt has {tokens} tokens; this model's context is {limit} tokens, prompt and answer together",
            param=param,
        )
    if params.max_tokens is not None and tokens + params.max_tokens > limit:
        raise ContextLengthExceeded(
            f"prompt ({tokens} tokens) and max_tokens ({params.max_tokens}) need {tokens + params.max_tokens} "
            f"tokens; this model's context is {limit}: at most {limit - tokens} tokens can be generated",
            param="max_tokens",
        )
