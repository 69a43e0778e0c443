"""Runs a program within bounds of time and output, and leaves nothing of it behind."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import IO

import attrs

POLL_S = 0.01
REAP_TIMEOUT_S = 5.0


@attrs.frozen(slots=True)
class Outcome:
    """How a program ended. ``exit_status`` is None when it was killed here; then one of the two flags says why."""

    stdout: str
    stderr: str
    exit_status: int | None
    timed_out: bool = False
    overflowed: bool = False

    @property
    def failure(self) -> str | None:
        """What went wrong, in words; None after exit status 0."""
        if self.timed_out:
            return "did not end by its deadline and was killed"
        if self.overflowed:
            return "wrote too much and was killed"
        if self.exit_status is not None and self.exit_status < 0:
            return f"was killed by signal {-self.exit_status}"
        return f"ended with exit status {self.exit_status}" if self.exit_status else None


def run(
    command: Sequence[str],
    *,
    timeout_s: float,
    limit_bytes: int,
    environment: Mapping[str, str],
    standard_input: bytes = b"",
) -> Outcome:
    """Run ``command`` without a shell in a process group of its own, killed whole at the end, however it ends.

    ``limit_bytes`` bounds stdout and stderr each. Raises OSError when the program cannot be started.
    """
    deadline = time.monotonic() + timeout_s
    # Files, not pipes: a grandchild that keeps one open cannot keep the reader waiting.
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        source.write(standard_input)
        source.seek(0)
        process = subprocess.Popen(
            list(command), stdin=source, stdout=out, stderr=err, env=dict(environment), start_new_session=True
        )
        timed_out = overflowed = False
        try:
            while not (_ended(process) or timed_out or overflowed):
                timed_out = time.monotonic() >= deadline
                overflowed = any(os.fstat(file.fileno()).st_size > limit_bytes for file in (out, err))
                time.sleep(POLL_S)
        finally:
            _kill_group(process)
        killed = timed_out or overflowed
        return Outcome(
            _read(out, limit_bytes),
            _read(err, limit_bytes),
            None if killed else process.returncode,
            timed_out=timed_out,
            overflowed=overflowed,
        )


def _ended(process: subprocess.Popen[bytes]) -> bool:
    """Look without reaping: until it is reaped, its process group cannot become another's."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # macOS answers EPERM for a group of zombies
        process.kill()
    process.wait(REAP_TIMEOUT_S)


def _read(file: IO[bytes], limit_bytes: int) -> str:
    file.seek(0)
    return file.read(limit_bytes).decode(errors="replace")
