"""The worker killed with -9 in the middle of a stream: the stream ends with an error, health says so, restart works."""

from __future__ import annotations

import json
import time
from pathlib import Path

import httpx
import psutil
import pytest
from served import Served, serve

pytestmark = pytest.mark.engine
RESTART_DEADLINE_S = 180.0


def worker_of(served: Served) -> psutil.Process:
    children = psutil.Process(served.process.pid).children(recursive=True)
    return max(children, key=lambda process: process.memory_info().rss)


def ask(served: Served) -> httpx.Response:
    body = {
        "model": "demo",
        "messages": [{"role": "user", "content": "Hello"}],
        "max_tokens": 4,
        "temperature": 0,
    }
    return httpx.post(f"{served.base_url}/chat/completions", json=body, timeout=120)


def test_a_killed_worker_ends_its_stream_and_comes_back(tmp_path: Path) -> None:
    with serve(tmp_path) as served:
        before = ask(served).json()["choices"][0]["message"]["content"]
        body = {
            "model": "demo",
            "messages": [{"role": "user", "content": "Tell me a very long story."}],
            "max_tokens": 2000,
            "ignore_eos": True,
            "stream": True,
        }
        events = []
        with httpx.stream("POST", f"{served.base_url}/chat/completions", json=body, timeout=60) as answer:
            for line in answer.iter_lines():
                if line:
                    events.append(line)
                if len(events) == 5:
                    worker_of(served).kill()
        assert "[DONE]" not in events[-1]
        assert "error" in json.loads(events[-1].removeprefix("data: "))

        states = set()
        end = time.monotonic() + RESTART_DEADLINE_S
        while time.monotonic() < end and not (200 in states and len(states) > 1):
            states.add(served.get("/health")[0])
            time.sleep(0.05)
        assert states == {503, 200}, "health must say that the worker died, and that it came back"
        assert ask(served).json()["choices"][0]["message"]["content"] == before
