"""Carries commands to engines in this process and in others, and tells each end what it must know of the other."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from sage_infer_contracts.testing import Subject

from ...history.steps import Raised
from .peer import PeerProcess
from .site import Directory, Site
from .steps import Allocate, Close, Create, Fault, Pause, Rewrite, TransportCommand, TransportStep

_SIGNALS = {"stop": signal.SIGSTOP, "go_on": signal.SIGCONT, "kill": signal.SIGKILL}


class TransportDriver:
    """The ends of one history."""

    def __init__(self, subject: Subject, name: str) -> None:
        self._name = name
        self._here = Site(subject)
        self._places: dict[str, Site | PeerProcess] = {}
        self._open: set[str] = set()
        self._killed = False
        self._addresses: dict[str, str] = {}
        self._bases: dict[str, int] = {}
        self._contents: dict[str, int] = {}
        self._began = time.monotonic()

    def execute(self, command: TransportCommand) -> TransportStep:
        """Do ``command``, wherever it belongs."""
        at_s = time.monotonic() - self._began
        return self._carry_out(command).model_copy(update={"at_s": at_s})

    def close(self) -> None:
        """End every process and engine of this history."""
        for place in self._places.values():
            if isinstance(place, PeerProcess):
                place.close()
        self._here.close()
        self._places.clear()

    def _carry_out(self, command: TransportCommand) -> TransportStep:
        if isinstance(command, Pause):
            time.sleep(command.seconds)
            return TransportStep(command=command, seconds=command.seconds)
        if isinstance(command, Create):
            self._places[command.end] = PeerProcess(self._name) if command.place == "process" else self._here
        place = self._places.get(command.end)
        if place is None:
            message = f"{command.end} was not created in this history"
            return TransportStep(command=command, error=Raised(type="LookupError", message=message))
        if isinstance(command, Fault) and command.what in _SIGNALS:
            return self._signal(command, place)
        directory = Directory(addresses=self._addresses, bases=self._bases, contents=self._contents)
        return self._learn(command, place.execute(command, directory))

    def _signal(self, command: Fault, place: Site | PeerProcess) -> TransportStep:
        assert isinstance(place, PeerProcess)
        place.signal(_SIGNALS[command.what])
        self._killed = self._killed or command.what == "kill"
        return TransportStep(command=command)

    def _learn(self, command: TransportCommand, step: TransportStep) -> TransportStep:
        """Tell the other ends what this one answered."""
        if isinstance(command, Create) and step.address is not None:
            self._addresses[command.end] = step.address
            self._open.add(command.end)
        elif isinstance(command, Allocate) and step.base is not None:
            self._bases[command.memory] = step.base
            self._contents[command.memory] = command.nbytes
        elif isinstance(command, Rewrite):
            self._contents[command.content] = self._contents[command.memory]
        elif isinstance(command, Close):
            self._open.discard(command.end)
            if not self._open and not self._killed:
                return step.model_copy(update={"left_files": self._left_files()})
        return step

    def _left_files(self) -> tuple[str, ...]:
        """Return what still has a name. A killed process cannot clean up, so histories with one are not asked."""
        named = set().union(*(place.named for place in self._places.values()))
        return tuple(sorted(name for name in named if Path(name).exists()))
