"""The same HTTP tests as for the native engine, on vLLM: contract, soak with an engine kill, restart, clean end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import httpx
import psutil
import pytest
from http_checks import (
    contract_holds,
    dies_and_comes_back,
    ends_on_sigterm,
    nothing_is_left_after_a_storm,
    short_answer,
)
from served import Served, serve

pytestmark = pytest.mark.engine
OPTIONS = (
    "--backend", "vllm", "--embedding", "demo-embed", "--embedding-backend", "vllm", "--log-level", "warning",
    "--option", "enforce_eager=true", "--max-sequence-length", "2048", "--max-batch-size", "16",
    "--dtype", "fp32", "--kv-schema", "preset=fp32",
)  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serve(tmp_path_factory.mktemp("vllm"), *OPTIONS) as served:
        yield served


def engine_processes(served: Served) -> list[psutil.Process]:
    return [process for process in served.tree() if "VLLM::EngineCore" in " ".join(process.cmdline())]


def test_the_http_contract_holds_on_vllm(server: Served) -> None:
    contract_holds(server)


@pytest.mark.slow
def test_nothing_is_left_after_two_hundred_requests(server: Served) -> None:
    nothing_is_left_after_a_storm(server)


def test_an_engine_killed_under_load_fails_its_streams_and_comes_back(server: Served) -> None:
    before = short_answer(server)
    ends = asyncio.run(streams_with_a_kill(server))
    assert len(ends) == 12
    for last in ends:
        assert "[DONE]" not in last
        assert "error" in json.loads(last.removeprefix("data: ")), last
    dies_and_comes_back(server)
    assert short_answer(server) == before


def test_sigterm_ends_every_process(server: Served) -> None:
    ends_on_sigterm(server)


async def streams_with_a_kill(served: Served) -> list[str]:
    """Start twelve long streams, kill the engine of the language model, and return each stream's last event."""
    flowing = asyncio.Semaphore(0)

    async def last_event(client: httpx.AsyncClient, number: int) -> str:
        body = {
            "model": "demo",
            "messages": [{"role": "user", "content": f"Tell story {number}."}],
            "max_tokens": 1500,
            "ignore_eos": True,
            "stream": True,
        }
        last = ""
        async with client.stream("POST", f"{served.base_url}/chat/completions", json=body) as answer:
            async for line in answer.aiter_lines():
                if line:
                    last = line
                    flowing.release()
        return last

    async with httpx.AsyncClient(timeout=60) as client:
        jobs = [asyncio.create_task(last_event(client, number)) for number in range(12)]
        for _ in range(24):
            await flowing.acquire()
        # The embedding model has an engine of its own, which holds less.
        max(engine_processes(served), key=lambda process: sum_rss(process)).kill()
        async with asyncio.timeout(30):
            return await asyncio.gather(*jobs)


def sum_rss(process: psutil.Process) -> int:
    return sum(member.memory_info().rss for member in [process, *process.children(recursive=True)])
