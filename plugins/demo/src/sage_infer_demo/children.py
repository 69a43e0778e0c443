"""Child processes with a deadline, whose whole process group ends with them."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import attrs

TAIL_LINES = 30


@attrs.frozen(slots=True)
class Ended:
    """How a child ended, with the last lines it wrote to stderr."""

    status: int
    timed_out: bool
    tail: str


def run(
    command: Sequence[str],
    *,
    deadline_s: float,
    on_line: Callable[[str], None] | None = None,
    on_tick: Callable[[], None] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Ended:
    """Run ``command``, handing each line of its stdout to ``on_line``; kill its process group at the deadline.

    The child holds the read end of a pipe on stdin that nobody writes to: it sees the end of file when this process
    dies, so a child that watches for it does not outlive us.
    """
    with _started(command, environment) as process:
        lines: deque[str] = deque()
        tail: deque[str] = deque(maxlen=TAIL_LINES)
        readers = [_reader(process.stdout, lines.append), _reader(process.stderr, tail.append)]
        timed_out = not _wait(process, time.monotonic() + deadline_s, lines, on_line, on_tick)
        if timed_out:
            _kill_group(process)
        for reader in readers:
            reader.join(timeout=5.0)
        _drain(lines, on_line)
        return Ended(process.wait(timeout=5.0), timed_out, "\n".join(tail))


@contextmanager
def _started(
    command: Sequence[str], environment: Mapping[str, str] | None
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=None if environment is None else {**os.environ, **environment},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            _kill_group(process)
            process.wait(timeout=5.0)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def _wait(
    process: subprocess.Popen[str],
    deadline: float,
    lines: deque[str],
    on_line: Callable[[str], None] | None,
    on_tick: Callable[[], None] | None,
) -> bool:
    while time.monotonic() < deadline:
        try:
            process.wait(timeout=0.1)
            return True
        except subprocess.TimeoutExpired:
            _drain(lines, on_line)
            if on_tick is not None:
                on_tick()
    return False


def _drain(lines: deque[str], on_line: Callable[[str], None] | None) -> None:
    while lines:
        line = lines.popleft()
        if on_line is not None:
            on_line(line)


def _reader(stream: object, keep: Callable[[str], None]) -> threading.Thread:
    def read() -> None:
        for line in stream:  # type: ignore[attr-defined]
            keep(line.rstrip("\n"))

    thread = threading.Thread(target=read, name="child-output", daemon=True)
    thread.start()
    return thread


def _kill_group(process: subprocess.Popen[str]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
