"""Runs one question about a plugin in a child process with a deadline, whatever the plugin does there.

The child has a process group of its own, which is killed when the answer is there or the deadline has passed, so
that nothing a plugin started outlives the question.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import IO, Any

import attrs

_REAP_TIMEOUT_S = 5.0
_OUTPUT_LIMIT_BYTES = 64 * 1024
_POLL_S = 0.01


@attrs.frozen(slots=True)
class ChildAnswer:
    """What the child said. ``answer`` is None when it ended without one; ``failure`` then says how."""

    answer: Mapping[str, Any] | None
    failure: str | None = None
    stderr_tail: str = ""


def ask(question: Mapping[str, object], *, timeout_s: float) -> ChildAnswer:
    """Put ``question`` to ``python -m sage_infer.plugins._child`` and wait at most ``timeout_s`` seconds for it."""
    with tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as stderr:
        # Files, not pipes: a process that a plugin left behind cannot keep the reader waiting.
        # -P: what lies in the current folder is not imported in place of what is installed.
        process = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-X",
                "faulthandler",
                "-m",
                "sage_infer.plugins._child",
                json.dumps(question),
            ],
            stdin=subprocess.DEVNULL,
            stdout=answer,
            stderr=stderr,
            start_new_session=True,
        )
        in_time = _wait(process, time.monotonic() + timeout_s)
        _end(process)
        tail = _tail(stderr)
        if not in_time:
            return ChildAnswer(None, f"did not answer within {timeout_s:g} s and was killed", tail)
        return _read(answer, process.returncode, tail)


def _wait(process: subprocess.Popen[bytes], deadline: float) -> bool:
    """Wait until the child ended, without reaping it: until then its process group cannot be another's."""
    while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        process.kill()
    except PermissionError:  # macOS reports a group of zombies so; there is nothing left to kill
        process.kill()
    process.wait(_REAP_TIMEOUT_S)


def _read(stream: IO[bytes], status: int, tail: str) -> ChildAnswer:
    stream.seek(0)
    raw = stream.read(_OUTPUT_LIMIT_BYTES + 1)
    try:
        answer = json.loads(raw) if 0 < len(raw) <= _OUTPUT_LIMIT_BYTES else None
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        return ChildAnswer(None, f"ended without an answer, {_status(status)}", tail)
    return ChildAnswer(answer, None, tail)


def _status(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"


def _tail(stream: IO[bytes], limit_bytes: int = 2000) -> str:
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - limit_bytes))
    return stream.read(limit_bytes).decode(errors="replace").strip()
