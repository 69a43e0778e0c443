"""The worker killed with -9 in the middle of a stream: the stream ends with an error, health says so, restart works."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import psutil
import pytest
from http_checks import dies_and_comes_back, short_answer
from served import Served, serve

pytestmark = pytest.mark.engine


def worker_of(served: Served) -> psutil.Process:
    children = psutil.Process(served.process.pid).children(recursive=True)
    return max(children, key=lambda process: process.memory_info().rss)


def test_a_killed_worker_ends_its_stream_and_comes_back(tmp_path: Path) -> None:
    with serve(tmp_path) as served:
        before = short_answer(served)
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

        dies_and_comes_back(served)
        assert short_answer(served) == before
