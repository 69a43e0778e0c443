"""Greedy tokens equal transformers', however the engine computes them (IB-01, IB-02)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from engine_prompts import PROMPTS

from sage_infer_contracts.sampling import SamplingParams

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="module")]

GREEDY = SamplingParams(max_tokens=64, temperature=0.0)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(open_backend: Callable[..., Any], model_path: str) -> AsyncIterator[Any]:
    """One backend with prefix sharing, cold at first."""
    async with open_backend(model_path, max_batch_size=12, max_sequence_length=1024) as backend:
        yield backend


async def outputs(backend: Any, prompts: list[list[int]]) -> list[tuple[int, ...]]:
    streams = await backend.generate(prompts, GREEDY)
    return [done.token_ids for done in await asyncio.gather(*(stream.collect() for stream in streams))]


def require_all_equal(reference: Any, actual: list[tuple[int, ...]]) -> None:
    before = reference.near_ties
    assert len(actual) == len(PROMPTS) >= 30
    for index, tokens in enumerate(actual):
        reference.require_equal(index, tokens)
    print(f"{reference.near_ties - before} of {len(actual)} outputs diverge at a near tie")


async def test_batched_cold_then_warm_with_reuse_that_saves_computing(shared: Any, reference: Any) -> None:
    cold_start = await shared.stats()
    require_all_equal(reference, await outputs(shared, reference.prompt_ids))
    cold = await shared.stats()
    require_all_equal(reference, await outputs(shared, reference.prompt_ids))
    warm = await shared.stats()
    prompt_tokens = sum(map(len, reference.prompt_ids))
    cold_computed = cold.computed_tokens - cold_start.computed_tokens
    warm_computed = warm.computed_tokens - cold.computed_tokens
    warm_reused = warm.reused_tokens - cold.reused_tokens
    assert cold_computed + cold.reused_tokens == prompt_tokens
    assert warm_computed + warm_reused == prompt_tokens
    assert warm_reused >= sum((len(ids) - 1) // 16 * 16 for ids in reference.prompt_ids)
    assert warm_computed < cold_computed / 2
    assert warm.blocks_held == 0


async def test_prefill_then_decode(shared: Any, reference: Any) -> None:
    prefilled = await shared.prefill(reference.prompt_ids[:12], request_id="split", params=GREEDY)
    assert (await shared.stats()).running == 0
    actual: list[tuple[int, ...]] = []
    for first in range(0, len(PROMPTS), 12):
        if first:
            prompts = reference.prompt_ids[first : first + 12]
            prefilled = await shared.prefill(prompts, request_id=f"split{first}", params=GREEDY)
        computed = (await shared.stats()).computed_tokens
        streams = [
            (await shared.decode(one.state, request_id=f"{first}+{i}")).stream if one.state else None
            for i, one in enumerate(prefilled.sequences)
        ]
        for one, stream in zip(prefilled.sequences, streams, strict=True):
            rest = (await stream.collect()).token_ids if stream is not None else ()
            actual.append(one.first.token_ids + rest)
        assert (await shared.stats()).computed_tokens == computed, "decode computed prompt tokens again"
    require_all_equal(reference, actual)


@pytest.mark.parametrize("chunk", [1, 3, 17])
async def test_chunked(chunk: int, open_backend: Callable[..., Any], model_path: str, reference: Any) -> None:
    options = {"prefill_chunk_tokens": chunk, "prefix_cache": False}
    async with open_backend(model_path, options, max_batch_size=12, max_sequence_length=1024) as backend:
        require_all_equal(reference, await outputs(backend, reference.prompt_ids))
        stats = await backend.stats()
    assert stats.computed_tokens == sum(map(len, reference.prompt_ids))
    assert stats.reused_tokens == 0


async def test_alone(open_backend: Callable[..., Any], model_path: str, reference: Any) -> None:
    async with open_backend(
        model_path, {"prefix_cache": False}, max_batch_size=1, max_sequence_length=1024
    ) as backend:
        actual = [(await outputs(backend, [ids]))[0] for ids in reference.prompt_ids]
    require_all_equal(reference, actual)


async def test_preempted_and_recomputed(
    open_backend: Callable[..., Any], model_path: str, reference: Any
) -> None:
    short = [index for index, ids in enumerate(reference.prompt_ids) if len(ids) < 40][:8]
    async with open_backend(
        model_path,
        {"watermark": 0.0},
        max_batch_size=8,
        max_sequence_length=144,
        kv_cache_memory_bytes=16 * 46_080 * 12,
    ) as backend:
        streams = await backend.generate([reference.prompt_ids[index] for index in short], GREEDY)
        done = await asyncio.gather(*(stream.collect() for stream in streams))
        stats = await backend.stats()
    assert stats.preemptions > 0
    assert stats.blocks_held == 0
    for index, one in zip(short, done, strict=True):
        reference.require_equal(index, one.token_ids)
