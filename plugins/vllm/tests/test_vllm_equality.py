"""Greedy tokens through the adapter are those of AsyncLLM itself: alone, all at once, and prefill then decode."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import pytest_asyncio
from engine_prompts import PROMPTS

from sage_infer_contracts.sampling import SamplingParams

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="module")]
GREEDY = SamplingParams(max_tokens=64, temperature=0.0)
COUNT = 30


async def direct(backend: Any, ids: list[int], name: str) -> tuple[int, ...]:
    """What AsyncLLM gives for ``ids`` when nothing of ours is between."""
    from vllm import SamplingParams as VLLMParams
    from vllm.sampling_params import RequestOutputKind

    params = VLLMParams(max_tokens=64, temperature=0.0, output_kind=RequestOutputKind.FINAL_ONLY)
    async for output in backend._engine.llm.generate({"prompt_token_ids": ids}, params, name):
        last = output
    return tuple(last.outputs[0].token_ids)


async def through(backend: Any, ids: list[int], name: str) -> tuple[int, ...]:
    (stream,) = await backend.generate([ids], GREEDY, request_id=name)
    return tuple((await stream.collect()).token_ids)


async def split(backend: Any, ids: list[int], name: str) -> tuple[int, ...]:
    prefilled = await backend.prefill([ids], request_id=name, params=GREEDY)
    first = prefilled.sequences[0]
    if first.state is None:
        return tuple(first.first.token_ids)
    result = await backend.decode(first.state, request_id=name)
    return (*first.first.token_ids, *(await result.stream.collect()).token_ids)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def prompt_ids(backend: Any) -> list[list[int]]:
    return [await backend.tokenizer.encode(text) for text in PROMPTS[-COUNT:]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def expected(backend: Any, prompt_ids: list[list[int]]) -> list[tuple[int, ...]]:
    """AsyncLLM's own tokens, asked for all at once: its output does not depend on the batch, as ours must not."""
    names = [f"direct-{index}" for index in range(COUNT)]
    return await asyncio.gather(*map(direct, [backend] * COUNT, prompt_ids, names))


async def test_alone(backend: Any, prompt_ids: list[list[int]], expected: list[tuple[int, ...]]) -> None:
    got = [await through(backend, ids, f"alone-{index}") for index, ids in enumerate(prompt_ids)]
    assert got == expected


async def test_all_at_once(
    backend: Any, prompt_ids: list[list[int]], expected: list[tuple[int, ...]]
) -> None:
    names = [f"batch-{index}" for index in range(COUNT)]
    assert await asyncio.gather(*map(through, [backend] * COUNT, prompt_ids, names)) == expected


async def test_prefill_then_decode(
    backend: Any, prompt_ids: list[list[int]], expected: list[tuple[int, ...]]
) -> None:
    names = [f"split-{index}" for index in range(COUNT)]
    assert await asyncio.gather(*map(split, [backend] * COUNT, prompt_ids, names)) == expected
