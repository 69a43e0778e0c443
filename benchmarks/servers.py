"""Two servers, each a process of its own: how they are started, watched and ended."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
import psutil

from benchmarks.engine_settings import EngineSettings, Launch, environment, has_vllm_command
from benchmarks.measuring import TreeCpu

START_DEADLINE_S = 900.0
STOP_DEADLINE_S = 30.0
POLL_S = 0.02
LOG_TAIL_CHARS = 4000


@attrs.frozen
class ServerKind:
    """How to start one kind of server; the port is added last."""

    name: str
    command: tuple[str, ...]
    ready_path: str
    environment: dict[str, str]


def sage_infer_server(settings: EngineSettings, launch: Launch) -> ServerKind:
    """Our server over vLLM."""
    command = (sys.executable, "-m", "sage_infer", "serve", *settings.serve_flags())
    return ServerKind("sage-infer", command, "/ready", environment(launch))


def vllm_server(settings: EngineSettings, launch: Launch) -> ServerKind:
    """The server of vLLM; without its command, the module that the command would run.

    Its line per request is off, as ours has none; its metrics are on, as ours are.
    """
    path = settings.model.path
    entry = (
        ("vllm.entrypoints.cli.main", "serve", path)
        if has_vllm_command()
        else ("vllm.entrypoints.openai.api_server", "--model", path)
    )
    flags = (*launch.vllm_flags(), "--generation-config", "vllm", "--disable-uvicorn-access-log")
    command = (sys.executable, "-m", *entry, *flags, "--host", "127.0.0.1")
    return ServerKind("vllm serve", command, "/health", environment(launch))


@attrs.frozen
class Server:
    """A running server."""

    kind: ServerKind
    process: subprocess.Popen[bytes]
    port: int
    log: Path
    start_s: float
    """Seconds from the start of the process until it was ready."""

    cpu: TreeCpu


@contextlib.contextmanager
def running(kind: ServerKind, folder: Path) -> Iterator[Server]:
    """Start a server, wait until it is ready, and end it and all its processes with the block.

    It runs in ``folder``, so that it takes no configuration file from where this was called.
    """
    port = _free_port()
    log = folder / f"{kind.name.replace(' ', '-')}-{port}.log"
    began_s = time.perf_counter()
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [*kind.command, "--port", str(port)],
            stdout=sink, stderr=sink, env=kind.environment, cwd=folder, start_new_session=True,
        )  # fmt: skip
    try:
        _wait_ready(kind, process, port, log)
        start_s = time.perf_counter() - began_s
        yield Server(kind, process, port, log, start_s, TreeCpu(process.pid))
    finally:
        _stop(process)


def _wait_ready(kind: ServerKind, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end_s = time.monotonic() + START_DEADLINE_S
    while process.poll() is None and time.monotonic() < end_s:
        if _answers(port, kind.ready_path):
            return
        time.sleep(POLL_S)
    tail = log.read_text(errors="replace")[-LOG_TAIL_CHARS:]
    raise RuntimeError(f"{kind.name} did not become ready (exit code {process.poll()}); its log:\n{tail}")


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the server to end, and kill what is left of its processes."""
    tree: list[psutil.Process] = []
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(process.pid)
        tree = [root, *root.children(recursive=True)]
    process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_DEADLINE_S)
    for left in tree:
        with contextlib.suppress(psutil.NoSuchProcess):
            left.kill()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(STOP_DEADLINE_S)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
