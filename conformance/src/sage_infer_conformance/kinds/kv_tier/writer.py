"""A process that uses a tier and is killed, again and again. Run as ``python -m ...writer SUBJECT``.

It finds the subject once, without making a tier, and forks for each crash: so a crash costs milliseconds.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time

from pydantic import TypeAdapter

from sage_infer_contracts.errors import BackendUnavailable
from sage_infer_contracts.testing import Subject
from sage_infer_contracts.wire import FrozenModel

from .steps import Crash, Create, Fault, TierStep

_START_S = 60.0
_CRASH_S = 20.0
_STEPS: TypeAdapter[list[TierStep]] = TypeAdapter(list[TierStep])


class Order(FrozenModel):
    """One process to be killed."""

    home: str
    capacity_bytes: int
    crash: Crash


class Writers:
    """The process that forks. Started at the first crash; owned by one thread."""

    def __init__(self, subject: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, subject],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, home: str, capacity_bytes: int, crash: Crash) -> list[TierStep]:
        """Let a process do ``crash`` and die; return the steps that it ended.

        Raises ``BackendUnavailable`` when nothing comes back.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            order = Order(home=home, capacity_bytes=capacity_bytes, crash=crash)
            self._process.stdin.write(order.model_dump_json() + "\n")
            self._process.stdin.flush()
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            line = self._process.stdout.readline() if selector.select(_START_S + _CRASH_S) else ""
        if not line:
            raise BackendUnavailable("the process that starts those to be killed did not answer")
        return _STEPS.validate_json(line)

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


def _use_until_killed(subject: Subject, order: Order, descriptor: int) -> None:
    """In the fork: make the tier, do what is asked, tell each end, and be killed without closing."""
    from .driver import TierDriver  # the driver imports this module

    driver = TierDriver(subject, "", order.home)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        driver.execute(Create(capacity_bytes=order.capacity_bytes, io=True))
        for command in order.crash.commands:
            step = driver.execute(command)
            stream.write(step.model_dump_json(exclude_none=True) + "\n")
            stream.flush()
        os.kill(os.getpid(), signal.SIGKILL)


def _crash(subject: Subject, order: Order) -> list[str]:
    """Fork, listen until the end or the deadline, and see to it that the process is gone."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(reading)
            _use_until_killed(subject, order, writing)
        finally:
            os._exit(1)
    os.close(writing)
    _kill_in_time(child, order.crash, reading)
    with os.fdopen(reading, encoding="utf-8") as stream:
        lines = stream.read().splitlines()
    with contextlib.suppress(ChildProcessError):
        os.waitpid(child, 0)
    return [line for line in lines if line.endswith("}")]


def _kill_in_time(child: int, crash: Crash, reading: int) -> None:
    """Kill after the time that the fault asks for, if it asks for one, else once the deadline has passed."""
    asked = [
        one.seconds for one in crash.commands if isinstance(one, Fault) and one.kind == "kill" and one.seconds
    ]
    until = time.monotonic() + (asked[0] if asked else _CRASH_S)
    while time.monotonic() < until:
        time.sleep(0.0005)
        if os.waitpid(child, os.WNOHANG)[0]:
            return
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)


def main() -> None:
    """Serve orders from standard input. What the subject prints goes to standard error."""
    from ...running.subjects import find_subject

    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    subject = find_subject(sys.argv[1], "kv_tier").subject
    for line in sys.stdin:
        lines = _crash(subject, Order.model_validate_json(line))
        answers.write(json.dumps([json.loads(one) for one in lines]) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
