"""The probe that a detector is given: a machine, a simulated clock, and a list of what was asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from sage_infer_contracts.probe import CommandResult, PciDevice, Unknown, command_key

from .shown import Shown, Source

DEADLINE_S = 30.0
"""The deadline a host gives a detector by default."""
_PROBE_MARGIN_S = 1.0
"""So long before the deadline the host's probe stops waiting for anything."""
_CALLS_AFTER_DEADLINE = 20_000
_STOPPED_AFTER_S = 20 * DEADLINE_S
_MOST_CALLS = 200_000


class Stopped(BaseException):
    """Raised in a detector that goes on long after its deadline."""


class SimulatedTime:
    """Time that passes without being waited for. Belongs to one look."""

    def __init__(self) -> None:
        self.passed_s = 0.0
        self._late_calls = 0

    def spend(self, seconds: float) -> None:
        """Let time pass."""
        self.passed_s += max(0.0, seconds)
        if self.passed_s > _STOPPED_AFTER_S:
            raise Stopped(f"{self.passed_s:.0f} s have passed")

    def left_s(self) -> float:
        """Return how long the host's probe would still wait; stops a detector that asks on and on."""
        left = DEADLINE_S - _PROBE_MARGIN_S - self.passed_s
        if left <= 0:
            self._late_calls += 1
            if self._late_calls > _CALLS_AFTER_DEADLINE:
                raise Stopped(f"{self._late_calls} questions after the deadline")
        return max(0.0, left)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Make pauses pass at once, and clocks tell simulated time, as long as the block runs."""
        names = ("sleep", "time", "monotonic", "perf_counter", "time_ns", "monotonic_ns", "perf_counter_ns")
        real = {name: getattr(time, name) for name in names}
        try:
            setattr(time, names[0], self.spend)
            for name in names[1:]:
                setattr(time, name, self._clock(real[name], 10**9 if name.endswith("_ns") else 1))
            yield
        finally:
            for name, function in real.items():
                setattr(time, name, function)

    def _clock(self, real: Callable[[], float], per_second: int) -> Callable[[], float]:
        return lambda: real() + type(real())(self.passed_s * per_second)


class MachineProbe:
    """Answers from a machine. Used by one detector, in one look."""

    def __init__(self, shown: Shown, clock: SimulatedTime, seconds_per_command: float) -> None:
        self._shown = shown
        self._recording = shown.recording
        self._clock = clock
        self._seconds = seconds_per_command
        self._calls = 0
        self.asked: dict[Source, None] = {}

    def pci_devices(self) -> Sequence[PciDevice] | Unknown:
        """Return the PCI functions."""
        self._note("pci")
        return Unknown("pci") if self._recording.pci is None else self._recording.pci

    def read_file(self, path: str) -> str | Unknown | None:
        """Return a file."""
        files = self._recording.files
        self._note(f"file:{path}")
        return files[path] if path in files else self._missing(path)

    def list_dir(self, path: str) -> Sequence[str] | Unknown | None:
        """Return the names in a folder."""
        directories = self._recording.directories
        self._note(f"folder:{path}")
        return directories[path] if path in directories else self._missing(path)

    def environ(self, name: str) -> str | Unknown | None:
        """Return a variable."""
        environment = self._recording.environment
        self._note(f"variable:{name}")
        return environment[name] if name in environment else self._missing(name)

    def run(self, command: Sequence[str], *, timeout_s: float) -> CommandResult | Unknown:
        """Return the outcome of a command, in as much time as it takes."""
        key = command_key(command)
        self._note(f"command:{key}")
        answer = self._recording.commands.get(key, self._shown.any_command)
        if answer is None:
            return Unknown(key)
        if answer.missing:
            return answer
        waits = min(timeout_s, self._clock.left_s())
        if answer.timed_out:
            self._clock.spend(waits)
            return answer
        self._clock.spend(min(waits, self._seconds))
        return answer if self._seconds < waits or not self._seconds else CommandResult(timed_out=True)

    def library(self, name: str, call: str) -> str | Unknown | None:
        """Return a library's reply."""
        key = f"{name}:{call}"
        libraries = self._recording.libraries
        self._note(f"library:{key}")
        return libraries[key] if key in libraries else self._missing(key)

    def _missing(self, what: str) -> Unknown | None:
        return None if self._shown.bare else Unknown(what)

    def _note(self, source: Source) -> None:
        self.asked[source] = None
        self._calls += 1
        if self._calls > _MOST_CALLS:
            raise Stopped(f"{self._calls} questions")
