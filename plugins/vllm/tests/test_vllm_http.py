"""The same HTTP tests as for the native engine, on vLLM: contract, soak with an engine kill, restart, clean end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from served import Served, serve
from storm import REQUESTS, footprint, settled, storm

pytestmark = pytest.mark.engine
ROOT = Path(__file__).resolve().parents[3]
RESTART_DEADLINE_S = 240.0
OPTIONS = (
    "--backend", "vllm", "--embedding", "demo-embed", "--embedding-backend", "vllm", "--log-level", "warning",
    "--option", "enforce_eager=true", "--max-sequence-length", "2048", "--max-batch-size", "16",
)  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serve(tmp_path_factory.mktemp("vllm"), *OPTIONS) as served:
        yield served


def engine_processes(served: Served) -> list[psutil.Process]:
    return [process for process in served.tree() if "VLLM::EngineCore" in " ".join(process.cmdline())]


def ask(served: Served) -> httpx.Response:
    body = {
        "model": "demo",
        "messages": [{"role": "user", "content": "Hello"}],
        "max_tokens": 4,
        "temperature": 0,
    }
    return httpx.post(f"{served.base_url}/chat/completions", json=body, timeout=120)


def test_the_http_contract_holds_on_vllm(server: Served) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "core/tests/serving/test_http_contract.py"],
        cwd=ROOT,
        env={**os.environ, "SAGE_INFER_TEST_SERVER_URL": f"http://127.0.0.1:{server.port}"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    server.wait_idle()
    assert server.metric("sage:kv_cache_usage_perc") == 0.0


@pytest.mark.slow
def test_nothing_is_left_after_two_hundred_requests(server: Served) -> None:
    # A small storm first: thread pools and lazily opened files exist once, not per request.
    asyncio.run(storm(server, 24, seed=1))
    server.wait_idle()
    before = footprint(server)
    outcomes = asyncio.run(storm(server, REQUESTS, seed=2))
    server.wait_idle()
    assert sum(outcomes.values()) == REQUESTS
    assert server.metric("sage:kv_cache_usage_perc") == 0.0
    assert settled(server, before) == {}
    assert server.get("/health")[0] == 200


def test_an_engine_killed_under_load_fails_its_streams_and_comes_back(server: Served) -> None:
    before = ask(server).json()["choices"][0]["message"]["content"]
    ends = asyncio.run(streams_with_a_kill(server))
    assert len(ends) == 12
    for last in ends:
        assert "[DONE]" not in last
        assert "error" in json.loads(last.removeprefix("data: ")), last

    states = set()
    end = time.monotonic() + RESTART_DEADLINE_S
    while time.monotonic() < end and not (200 in states and len(states) > 1):
        states.add(server.get("/health")[0])
        time.sleep(0.05)
    assert states == {503, 200}, "health must say that the engine died, and that it came back"
    assert ask(server).json()["choices"][0]["message"]["content"] == before


def test_sigterm_ends_every_process(server: Served) -> None:
    tree = server.tree()
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(timeout=90) == 0, server.log.read_text()[-4000:]
    alive = [process for process in tree if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    assert alive == []


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
