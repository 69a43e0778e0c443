"""A child process under watch: its messages, its output, its memory, its end."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import psutil

from ..history.steps import Raised
from .messages import Job, Message, read_message

_POLL_S = 0.05
_REAP_S = 5.0
_KEPT_OUTPUT_BYTES = 16 * 1024
_READ_BYTES = 1 << 16


class Died(Exception):
    """The child is no more; ``how`` says what became of it."""

    def __init__(self, how: Raised) -> None:
        super().__init__(str(how))
        self.how = how


class ChildProcess:
    """One child in a process group and a temporary folder of its own; both end with it. Owned by one thread."""

    def __init__(
        self, job: Job, *, memory_limit_bytes: int, environment: Mapping[str, str] | None = None
    ) -> None:
        self._limit = memory_limit_bytes
        self.output_bytes = 0
        self.output_tail = b""
        # Short, since sockets in it have paths of a hundred characters at most.
        self._folder = tempfile.TemporaryDirectory(prefix="sage-", ignore_cleanup_errors=True)
        reading, writing = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-u", "-m", "sage_infer_conformance.running.child", str(writing)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(writing,),
            start_new_session=True,
            env={**os.environ, "TMPDIR": self._folder.name, **(environment or {})},
        )
        os.close(writing)
        self._reading = reading
        self._buffer = b""
        self._lines: list[bytes] = []
        self._selector = selectors.DefaultSelector()
        assert self._process.stdout is not None
        for descriptor in (reading, self._process.stdout.fileno()):
            os.set_blocking(descriptor, False)
            self._selector.register(descriptor, selectors.EVENT_READ)
        self._hand_over(job)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def _hand_over(self, job: Job) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(job.model_dump_json().encode())
            self._process.stdin.close()

    def next_message(self, deadline_s: float) -> Message:
        """Return what the child tells next; raises :class:`Died` when it ended, hung or grew too large."""
        until = time.monotonic() + deadline_s
        while not self._lines:
            left = until - time.monotonic()
            if left <= 0:
                self.end()
                raise Died(Raised(type="Hang", message=f"no end after {deadline_s:g} s", fate="hang"))
            open_still = self._read(min(left, _POLL_S))
            self._watch_memory()
            if not self._lines and not open_still:
                raise Died(self._how_it_ended())
        return read_message(self._lines.pop(0))

    def end(self) -> None:
        """Kill the group and reap the child; bounded, and safe to repeat."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_REAP_S)
        if self._selector.get_map() is not None:
            self._read(0)
            self._selector.close()
            os.close(self._reading)
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._folder.cleanup()

    def _read(self, timeout_s: float) -> bool:
        """Take in what is there; False once the child's own descriptor is at its end."""
        open_still = True
        for key, _ in self._selector.select(timeout_s):
            with contextlib.suppress(BlockingIOError):
                data = os.read(key.fd, _READ_BYTES)
                if key.fd != self._reading:
                    self._keep_output(key.fd, data)
                elif data:
                    *lines, self._buffer = (self._buffer + data).split(b"\n")
                    self._lines += lines
                else:
                    open_still = False
        return open_still

    def _keep_output(self, descriptor: int, data: bytes) -> None:
        if not data:
            self._selector.unregister(descriptor)
        self.output_bytes += len(data)
        self.output_tail = (self.output_tail + data)[-_KEPT_OUTPUT_BYTES:]

    def _watch_memory(self) -> None:
        with contextlib.suppress(psutil.Error):
            held = psutil.Process(self._process.pid).memory_info().rss
            if held > self._limit:
                self.end()
                says = f"the process grew to {held >> 20} MiB; {self._limit >> 20} MiB are allowed"
                raise Died(Raised(type="MemoryLimit", message=says, fate="memory"))

    def _how_it_ended(self) -> Raised:
        try:
            code = self._process.wait(_REAP_S)
        except subprocess.TimeoutExpired:
            self.end()
            return Raised(type="Hang", message="the child closed its channel and did not end", fate="hang")
        self._read(0)
        last = self.output_tail.decode(errors="replace").strip().splitlines()[-1:]
        tail = f"; last output: {last[0][:300]}" if last else ""
        if code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
            return Raised(type="Crash", message=f"killed by {name}{tail}", fate="crash")
        return Raised(type="Exit", message=f"exited with status {code}{tail}", fate="exit")
