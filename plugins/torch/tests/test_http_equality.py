"""Greedy text over HTTP equals transformers', for all prompts at once, streamed and whole."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from served import Served, serve

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, model_path: str) -> Iterator[Served]:
    with serve(tmp_path_factory.mktemp("equality"), llm=model_path) as served:
        yield served


async def complete(client: openai.AsyncOpenAI, prompt: list[int], stream: bool) -> str:
    model = (await client.models.list()).data[0].id
    answer: Any = await client.completions.create(
        model=model, prompt=prompt, max_tokens=64, temperature=0, stream=stream
    )
    if not stream:
        return str(answer.choices[0].text)
    return "".join([choice.text async for chunk in answer for choice in chunk.choices])


async def complete_all(served: Served, prompts: list[list[int]]) -> list[str]:
    async with openai.AsyncOpenAI(base_url=served.base_url, api_key="none", timeout=600) as client:
        jobs = (complete(client, prompt, stream=bool(index % 2)) for index, prompt in enumerate(prompts))
        return await asyncio.gather(*jobs)


def require_equal_text(reference: Any, index: int, actual: str) -> None:
    """As ``Reference.require_equal``, where only text is seen: a divergence must be at a near tie."""
    expected = list(reference.outputs[index])
    if actual == reference.tokenizer.decode(expected, skip_special_tokens=True):
        return
    shared = max(
        count
        for count in range(len(expected) + 1)
        if actual.startswith(reference.tokenizer.decode(expected[:count], skip_special_tokens=True))
    )
    gaps = [
        reference.gap(reference.prompt_ids[index] + expected[:at])
        for at in range(max(0, shared - 2), shared + 1)
    ]
    assert min(gaps) < 1e-3, (index, actual, gaps)


def test_all_prompts_at_once_over_http(server: Served, reference: Any) -> None:
    texts = asyncio.run(complete_all(server, reference.prompt_ids))
    assert len(texts) >= 30
    for index, text in enumerate(texts):
        require_equal_text(reference, index, text)
