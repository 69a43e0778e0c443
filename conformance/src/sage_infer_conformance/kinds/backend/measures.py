"""What is measured of a running backend: how near two tokens are, and what reuse saves."""

from __future__ import annotations

import asyncio
import itertools
import time

from sage_infer_contracts.backend import InferenceBackend
from sage_infer_contracts.capabilities import Capability
from sage_infer_contracts.errors import SageInferError
from sage_infer_contracts.sampling import SamplingParams

from .asks import Prompt
from .findings import TieFound, Timing
from .prompts import Prompts
from .waiting import STALL_S, within

DRAWS = 40
"""At the temperature epsilon, of two tokens that are epsilon apart the second one is drawn with probability 0.27, and
missed 40 times in a row with 4e-6; tokens ten epsilon apart give it 5e-5 a draw."""
_SHORT_TOKENS = 16
_DECODES = 2
_numbers = itertools.count()


async def tie(
    backend: InferenceBackend, prompt_ids: tuple[int, ...], pair: tuple[int, int], epsilon: float
) -> TieFound:
    """Return how near ``pair`` is after ``prompt_ids``: by log-probabilities where declared, else by drawing."""
    if Capability.BACKEND_LOGPROBS in backend.capabilities:
        return TieFound(gap=await _gap(backend, prompt_ids, pair))
    params = SamplingParams(max_tokens=1, temperature=epsilon, ignore_eos=True)
    drawn: list[int] = []
    for number in range(DRAWS):
        seeded = params.model_copy(update={"seed": number})
        try:
            drawn += await _first(backend, prompt_ids, seeded)
        except SageInferError:
            break
    return TieFound(drawn=(drawn.count(pair[0]), drawn.count(pair[1])))


async def _gap(backend: InferenceBackend, prompt_ids: tuple[int, ...], pair: tuple[int, int]) -> float | None:
    params = SamplingParams(max_tokens=1, temperature=0.0, ignore_eos=True, logprobs=2)
    (stream,) = await backend.generate([prompt_ids], params, request_id=f"tie-{next(_numbers)}")
    async with asyncio.timeout(STALL_S):
        found = {token: value async for d in stream for one in d.logprobs or () for token, value in one.top}
    return abs(found[pair[0]] - found[pair[1]]) if set(pair) <= set(found) else None


async def _first(backend: InferenceBackend, prompt_ids: tuple[int, ...], params: SamplingParams) -> list[int]:
    (stream,) = await backend.generate([prompt_ids], params, request_id=f"tie-{next(_numbers)}")
    return list((await within(stream.collect())).token_ids)


async def time_reuse(
    backend: InferenceBackend, prompts: Prompts, text: str, tokens: int, rounds: int
) -> Timing:
    """Time the first token of fresh prompts, and of the same again."""
    cold: list[float] = []
    warm: list[float] = []
    reused: list[int] = []
    for number in range(rounds):
        ids = await prompts.ids(Prompt(text=f"{number + 11} {text} {number}.", tokens=tokens))
        cold.append((await _timed(backend, ids))[0])
        for _ in range(2):
            seconds, found = await _timed(backend, ids)
            warm.append(seconds)
            reused.append(found)
    short: list[float] = []
    for number in range(rounds):
        short.append(
            (
                await _timed(
                    backend, await prompts.ids(Prompt(text=f"{number + 71} {text}", tokens=_SHORT_TOKENS))
                )
            )[0]
        )
    return Timing(
        cold_s=min(cold),
        warm_s=min(warm),
        short_s=min(short),
        decode_s=await _decoding_s(backend, prompts, f"41 {text} 41.", tokens),
        prompt_tokens=tokens,
        reused_tokens=min(reused),
    )


async def _decoding_s(backend: InferenceBackend, prompts: Prompts, text: str, tokens: int) -> float | None:
    """Return the best time from the call of decode to its first token."""
    if Capability.BACKEND_SPLIT_PREFILL not in backend.capabilities:
        return None
    params = SamplingParams(max_tokens=3, temperature=0.0, ignore_eos=True)
    found: list[float] = []
    for number in range(_DECODES):
        ids = await prompts.ids(Prompt(text=f"{number}{text}", tokens=tokens))
        prefilled = await within(backend.prefill([ids], request_id=f"timed-{next(_numbers)}", params=params))
        began = time.perf_counter()
        for state in prefilled.states:
            result = await within(backend.decode(state, request_id=f"timed-{next(_numbers)}"))
            await within(anext(result.stream))
            found.append(time.perf_counter() - began)
            await within(result.stream.collect())
    return min(found, default=None)


async def _timed(backend: InferenceBackend, ids: tuple[int, ...]) -> tuple[float, int]:
    params = SamplingParams(max_tokens=1, temperature=0.0, ignore_eos=True)
    began = time.perf_counter()
    (stream,) = await backend.generate([ids], params, request_id=f"timed-{next(_numbers)}")
    done = await within(stream.collect())
    return time.perf_counter() - began, done.usage.reused_prompt_tokens
