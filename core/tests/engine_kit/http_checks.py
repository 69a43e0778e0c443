"""What a served engine owes over HTTP, whichever engine it is."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
from served import Served
from storm import REQUESTS, footprint, settled, storm

ROOT = Path(__file__).resolve().parents[3]
RESTART_DEADLINE_S = 240.0


def contract_holds(served: Served) -> None:
    """The HTTP tests that core runs on a scripted backend pass on ``served``, and leave nothing held."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "core/tests/serving/test_http_contract.py"],
        cwd=ROOT,
        env={**os.environ, "SAGE_INFER_TEST_SERVER_URL": f"http://127.0.0.1:{served.port}"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    served.wait_idle()
    assert served.metric("sage:kv_cache_usage_perc") == 0.0


def nothing_is_left_after_a_storm(served: Served) -> None:
    """Two hundred requests end, and the server holds no more than before."""
    # A small storm first: thread pools and lazily opened files exist once, not per request.
    asyncio.run(storm(served, 24, seed=1))
    served.wait_idle()
    before = footprint(served)

    outcomes = asyncio.run(storm(served, REQUESTS, seed=2))
    served.wait_idle()

    assert sum(outcomes.values()) == REQUESTS
    assert served.metric("sage:kv_cache_usage_perc") == 0.0
    assert settled(served, before) == {}
    assert served.get("/health")[0] == 200


def ends_on_sigterm(served: Served) -> None:
    """SIGTERM ends the server with status 0, and every process of it."""
    tree = served.tree()
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(timeout=90) == 0, served.log.read_text()[-4000:]
    alive = [process for process in tree if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    assert alive == []


def short_answer(served: Served) -> str:
    """The server's answer to a fixed question, greedy."""
    body = {
        "model": "demo",
        "messages": [{"role": "user", "content": "Hello"}],
        "max_tokens": 4,
        "temperature": 0,
    }
    answer = httpx.post(f"{served.base_url}/chat/completions", json=body, timeout=120)
    return str(answer.json()["choices"][0]["message"]["content"])


def dies_and_comes_back(served: Served) -> None:
    """After a kill, ``/health`` says that the engine died, and then that it is back."""
    states = set()
    end = time.monotonic() + RESTART_DEADLINE_S
    while time.monotonic() < end and not (200 in states and len(states) > 1):
        states.add(served.get("/health")[0])
        time.sleep(0.05)
    assert states == {503, 200}
