"""SIGTERM in a real process: what is running finishes, what is new is refused, and the process exits cleanly."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving_kit.live_server import MODEL

from sage_infer.common.logs import build_logger
from sage_infer.common.telemetry import Telemetry
from sage_infer.control_plane import ControlPlaneManager
from sage_infer.serving.app import create_app
from sage_infer.serving.server import run_server
from sage_infer.serving.settings import ServingSettings
from sage_infer_contracts.errors import InvalidRequest

DEADLINE_S = 60.0
ASK = {"model": MODEL, "prompt": "a", "max_tokens": 8}


class Child:
    """A server process."""

    def __init__(self, tmp_path: Path, drain_s: float) -> None:
        self.go = tmp_path / "go"
        kit = str(Path(__file__).parents[1])
        paths = os.pathsep.join(filter(None, [kit, os.environ.get("PYTHONPATH")]))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "serving_kit.child_server", str(drain_s)],
            env={**os.environ, "SERVING_KIT_GO": str(self.go), "PYTHONPATH": paths},
            stdout=subprocess.PIPE,
            text=True,
        )
        self.url = f"http://127.0.0.1:{self.line()}"

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ask(self, **fields: Any) -> httpx.Response:
        return httpx.post(f"{self.url}/v1/completions", json={**ASK, **fields}, timeout=DEADLINE_S)

    def wait_draining(self) -> httpx.Response:
        end = time.monotonic() + DEADLINE_S
        while time.monotonic() < end:
            answer = httpx.get(f"{self.url}/ready", timeout=DEADLINE_S)
            if answer.status_code == 503:
                return answer
        raise AssertionError("the server did not start to drain")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    children: list[Child] = []

    def begin(drain_s: float) -> Child:
        children.append(Child(tmp_path, drain_s))
        return children[-1]

    yield begin
    for child in children:
        child.process.kill()
        child.process.wait()
        assert child.process.stdout is not None
        child.process.stdout.close()


def test_running_requests_finish_and_new_ones_are_refused_while_draining(start: Any) -> None:
    child = start(DEADLINE_S)
    with ThreadPoolExecutor(2) as threads:
        whole = threads.submit(child.ask)
        assert child.line() == "accepted"
        streamed = threads.submit(child.ask, stream=True)
        assert child.line() == "accepted"
        child.process.send_signal(signal.SIGTERM)
        draining = child.wait_draining()
        assert draining.json() == {"status": "draining"}
        refused = child.ask()
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "draining"
        assert "retry-after" in refused.headers
        child.go.touch()
        assert whole.result().json()["usage"]["completion_tokens"] == 8
        assert streamed.result().text.endswith("data: [DONE]\n\n")
    assert child.process.wait(DEADLINE_S) == 0


def test_requests_that_outlast_the_deadline_end_with_an_error(start: Any) -> None:
    child = start(0.2)
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(child.ask)
        assert child.line() == "accepted"
        child.process.send_signal(signal.SIGTERM)
        answer = running.result()
    assert answer.status_code == 503
    assert "cancelled" in answer.json()["error"]["message"]
    assert child.process.wait(DEADLINE_S) == 0


def test_a_second_signal_exits_at_once(start: Any) -> None:
    child = start(DEADLINE_S * 10)
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(child.ask)
        assert child.line() == "accepted"
        child.process.send_signal(signal.SIGINT)
        child.wait_draining()
        child.process.send_signal(signal.SIGTERM)
        assert child.process.wait(DEADLINE_S) == 1
        assert isinstance(running.exception(), httpx.HTTPError) or running.result().status_code == 503


async def test_an_address_that_is_taken_is_refused_by_name() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = ServingSettings(port=taken.getsockname()[1])
        manager = ControlPlaneManager(Telemetry(log=build_logger()))
        with pytest.raises(InvalidRequest, match=str(settings.port)) as refusal:
            await run_server(create_app(manager, settings), manager, settings)
    assert refusal.value.param == "port"
    settings = ServingSettings(host="no-such-host.invalid")
    with pytest.raises(InvalidRequest, match="no-such-host"):
        await run_server(create_app(manager, settings), manager, settings)
