"""One child process in a process group of its own: started, watched, ended, reaped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence

from sage_infer import env

_log = logging.getLogger("sage_infer.worker")
_LINE_CHARS = 2000


class WorkerProcess:
    """A spawned ``sage_infer.workers.child``. Its output is kept (the last lines) and forwarded to our log."""

    def __init__(
        self, popen: subprocess.Popen[bytes], exited: asyncio.Future[None], lines: deque[str], label: str
    ) -> None:
        self._popen = popen
        self._exited = exited
        self._lines = lines
        self._output: asyncio.BaseTransport | None = None
        self.label = label

    @classmethod
    async def spawn(
        cls,
        connections: Sequence[socket.socket],
        *,
        environment: Mapping[str, str],
        label: str,
        keep_lines: int,
    ) -> WorkerProcess:
        """Start a worker that inherits ``connections`` and nothing else that is open here."""
        loop = asyncio.get_running_loop()
        inherited = [connection.fileno() for connection in connections]
        read_fd, write_fd = os.pipe()
        try:
            # Not asyncio's: its watcher thread on older Pythons outlives a closed loop. Spawning takes milliseconds.
            popen = subprocess.Popen(  # noqa: ASYNC220
                [sys.executable, "-P", "-m", "sage_infer.workers.child", *map(str, inherited)],
                pass_fds=inherited,
                stdin=subprocess.DEVNULL,
                stdout=write_fd,
                stderr=write_fd,
                env=env.child_environment(environment),
                process_group=0,
            )
        except BaseException:
            os.close(read_fd)
            raise
        finally:
            os.close(write_fd)
        lines: deque[str] = deque(maxlen=keep_lines)
        worker = cls(popen, _watch_exit(loop, popen), lines, label)
        worker._output, _ = await loop.connect_read_pipe(
            lambda: _Output(lines, label, popen.pid), os.fdopen(read_fd, "rb", buffering=0)
        )
        return worker

    @property
    def pid(self) -> int:
        """Process id, which is also the id of its group."""
        return self._popen.pid

    @property
    def exited(self) -> asyncio.Future[None]:
        """Done as soon as the process has ended; await it through ``asyncio.wait`` only."""
        return self._exited

    def last_output(self) -> str:
        """Return the last lines the worker wrote, empty if none."""
        return "\n".join(self._lines)

    def note(self, text: str) -> None:
        """Write a line about this worker to our log."""
        _log.warning("%s", text, extra={"worker": self.label, "worker_pid": self.pid})

    async def wait_exit(self, timeout_s: float) -> bool:
        """Wait for the end of the process; False when it still runs after ``timeout_s``."""
        await asyncio.wait((self._exited,), timeout=timeout_s)
        return self._exited.done()

    async def end(self, *, patience_s: float, terminate_s: float) -> None:
        """See the process off: wait, then SIGTERM, then SIGKILL to the whole group; reaps it."""
        if not await self.wait_exit(patience_s):
            self._signal(signal.SIGTERM)
            if not await self.wait_exit(terminate_s):
                _log.warning("worker %s (pid %d) ignored SIGTERM; killing its group", self.label, self.pid)
        await self.kill(terminate_s)

    async def kill(self, timeout_s: float) -> None:
        """Kill what is left of the group and reap the worker; idempotent."""
        # A worker that ended but is not reaped keeps its group id, so no stranger can be hit.
        self._signal(signal.SIGKILL)
        if not await self.wait_exit(timeout_s):
            _log.error("worker %s (pid %d) did not end after SIGKILL", self.label, self.pid)
        self._popen.poll()
        if self._output is not None:
            self._output.close()

    async def describe_exit(self, timeout_s: float) -> str:
        """Say how the worker ended and what it said last; kills one that lost its connection but still runs."""
        if await self.wait_exit(timeout_s):
            await self.kill(timeout_s)
            how = _how(self._popen.returncode)
        else:
            await self.kill(timeout_s)
            how = "closed its connection and was killed"
        said = f"; it last said:\n{self.last_output()}" if self._lines else ""
        return f"the worker of {self.label} (pid {self.pid}) {how}{said}"

    def _signal(self, number: signal.Signals) -> None:
        if self._popen.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._popen.pid, number)


def _how(returncode: int | None) -> str:
    if returncode is None:
        return "could not be reaped"
    if returncode < 0:
        return f"was killed by {signal.Signals(-returncode).name}"
    return f"exited with status {returncode}"


def _watch_exit(loop: asyncio.AbstractEventLoop, popen: subprocess.Popen[bytes]) -> asyncio.Future[None]:
    """Return a future that is done when the process has ended, reaped or not."""
    exited: asyncio.Future[None] = loop.create_future()
    if sys.platform == "linux":
        pidfd = os.pidfd_open(popen.pid)

        def ended() -> None:
            loop.remove_reader(pidfd)
            os.close(pidfd)
            if not exited.done():
                exited.set_result(None)

        loop.add_reader(pidfd, ended)
        return exited
    waiting = loop.run_in_executor(None, popen.wait)
    waiting.add_done_callback(lambda _done: exited.done() or exited.set_result(None))
    return exited


class _Output(asyncio.Protocol):
    """Splits the worker's output into lines; a line or a progress bar without an end is cut, not hoarded."""

    def __init__(self, lines: deque[str], label: str, pid: int) -> None:
        self._lines, self._label, self._pid = lines, label, pid
        self._partial = ""

    def data_received(self, data: bytes) -> None:
        *whole, self._partial = (self._partial + data.decode("utf-8", "replace")).split("\n")
        for line in whole:
            self._keep(line)
        self._partial = self._partial[-_LINE_CHARS:]

    def connection_lost(self, exc: Exception | None) -> None:
        if self._partial:
            self._keep(self._partial)

    def _keep(self, line: str) -> None:
        # A progress bar redraws its line with carriage returns; only the last state is worth keeping.
        text = line.rstrip("\r").rpartition("\r")[2][:_LINE_CHARS]
        self._lines.append(text)
        _log.info("%s", text, extra={"worker": self._label, "worker_pid": self._pid})
