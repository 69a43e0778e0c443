"""A real ``sage infer serve`` in a process group of its own, for tests that talk HTTP to the real engine."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs
import psutil

START_DEADLINE_S = 600.0
POLL_S = 0.2


@attrs.define
class Served:
    """The server's process and address."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def base_url(self) -> str:
        """Root of the OpenAI API."""
        return f"http://127.0.0.1:{self.port}/v1"

    def get(self, path: str) -> tuple[int, str]:
        """GET ``path``; returns status and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def metric(self, name: str) -> float:
        """Sum of a metric over its labels; 0 when it has no sample yet."""
        lines = self.get("/metrics")[1].splitlines()
        found = (line for line in lines if line.startswith((f"{name}{{", f"{name} ")))
        return sum(float(line.rsplit(" ", 1)[1]) for line in found)

    def tree(self) -> list[psutil.Process]:
        """The server and all its descendants."""
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]

    def wait_idle(self, deadline_s: float = 60.0) -> None:
        """Wait until nothing runs or waits; raises TimeoutError."""
        end = time.monotonic() + deadline_s
        while self.metric("sage:num_requests_running") or self.metric("sage:num_requests_waiting"):
            if time.monotonic() > end:
                raise TimeoutError(f"requests still running; log:\n{self.log.read_text()[-4000:]}")
            time.sleep(POLL_S)


def free_port() -> int:
    """A loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_ready(served: Served) -> None:
    """Wait for ``/ready``; raises RuntimeError with the log when the server ends first."""
    end = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < end:
        if served.process.poll() is not None:
            raise RuntimeError(
                f"server ended with {served.process.returncode}:\n{served.log.read_text()[-4000:]}"
            )
        with contextlib.suppress(OSError):
            if served.get("/ready")[0] == 200:
                return
        time.sleep(POLL_S)
    raise RuntimeError(f"not ready in {START_DEADLINE_S:.0f} s:\n{served.log.read_text()[-4000:]}")


@contextlib.contextmanager
def serve(folder: Path, *arguments: str, llm: str = "demo") -> Iterator[Served]:
    """Run the server until the block ends; everything of it is killed then, whatever happened."""
    port = free_port()
    log = folder / f"server-{port}.log"
    command: Sequence[str] = (
        sys.executable, "-m", "sage_infer", "serve", "--llm", llm, "--port", str(port), *arguments
    )  # fmt: skip
    with log.open("wb") as sink:
        process = subprocess.Popen(command, stdout=sink, stderr=sink, start_new_session=True)
    served = Served(process, port, log)
    tree: list[psutil.Process] = []
    try:
        wait_ready(served)
        tree = served.tree()
        yield served
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=30)
        for child in tree:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
