"""Ends in a process of their own: the process that can be stopped and killed, and its channel."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time

from pydantic import TypeAdapter

from sage_infer_contracts.wire import FrozenModel

from ...history.steps import Fate, Raised
from ...running.subjects import find_subject
from .site import Directory, Site
from .steps import TransportCommand, TransportStep

_START_S = 60.0
_ANSWER_S = 40.0
_REAP_S = 5.0
_READ_BYTES = 1 << 16


class Request(FrozenModel):
    """One command, with what the ends were told of each other."""

    command: TransportCommand
    directory: Directory


class Reply(FrozenModel):
    """What came of it, and the named files the process has had so far."""

    step: TransportStep
    named: tuple[str, ...] = ()


_REQUESTS: TypeAdapter[Request] = TypeAdapter(Request)


class PeerProcess:
    """A process that hosts one end. It ends when its input does. Owned by one thread."""

    def __init__(self, subject: str) -> None:
        reading, writing = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, subject, str(writing)],
            stdin=subprocess.PIPE,
            pass_fds=(writing,),
        )
        os.close(writing)
        self._reading = reading
        self._buffer = b""
        self._selector = selectors.DefaultSelector()
        self._selector.register(reading, selectors.EVENT_READ)
        self._answer_s = _START_S
        self.named: set[str] = set()

    def execute(self, command: TransportCommand, directory: Directory) -> TransportStep:
        """Have ``command`` done there; a process that does not answer is killed."""
        began = time.perf_counter()
        step = self._ask(Request(command=command, directory=directory))
        return step.model_copy(update={"seconds": time.perf_counter() - began})

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; a killed process is reaped."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)
        if number is signal.SIGKILL:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_REAP_S)

    def close(self) -> None:
        """End the process, stopped or not, and reap it."""
        self.signal(signal.SIGKILL)
        self._selector.close()
        os.close(self._reading)
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()

    def _ask(self, request: Request) -> TransportStep:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(request.model_dump_json(exclude_none=True).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return self._dead(request, "crash", "the process of the peer has ended")
        until = time.monotonic() + self._answer_s
        while b"\n" not in self._buffer:
            left = until - time.monotonic()
            if left <= 0 or not self._selector.select(left):
                self.signal(signal.SIGKILL)
                return self._dead(request, "hang", f"no answer after {self._answer_s:g} s")
            data = os.read(self._reading, _READ_BYTES)
            if not data:
                return self._dead(
                    request, "crash", f"the process of the peer ended with {self._process.wait(_REAP_S)}"
                )
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        self._answer_s = _ANSWER_S
        reply = Reply.model_validate_json(line)
        self.named |= set(reply.named)
        return reply.step

    def _dead(self, request: Request, fate: Fate, message: str) -> TransportStep:
        error = Raised(type=fate.capitalize(), message=message, fate=fate)
        return TransportStep(command=request.command, error=error)


def main() -> None:
    """Do what is asked, a line at a time, until there is no more."""
    name, descriptor = sys.argv[1], int(sys.argv[2])
    site = Site(find_subject(name, "transport").subject, own_process=True)
    with os.fdopen(descriptor, "w", encoding="utf-8") as answers:
        for line in sys.stdin:
            request = _REQUESTS.validate_json(line)
            step = site.execute(request.command, request.directory)
            answers.write(
                Reply(step=step, named=tuple(sorted(site.named))).model_dump_json(exclude_none=True) + "\n"
            )
            answers.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
