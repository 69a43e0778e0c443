"""Probe: the only way a detector looks at a machine, so that a recording can stand in for it (HD-02)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import attrs
from pydantic import Field

from .wire import FrozenModel, WireModel


class PciDevice(FrozenModel):
    """One PCI function. Ids are lower-case hex without 0x; the class has six digits."""

    bdf: str = Field(pattern=r"^[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$")
    vendor: str = Field(pattern=r"^[0-9a-f]{4}$")
    device: str = Field(pattern=r"^[0-9a-f]{4}$")
    device_class: str = Field(pattern=r"^[0-9a-f]{6}$")
    numa_node: int | None = None
    driver: str | None = None


class CommandResult(FrozenModel):
    """Outcome of a command. ``exit_status`` null: not known (a plain capture) or never started."""

    stdout: str = ""
    stderr: str = ""
    exit_status: int | None = None
    timed_out: bool = False
    missing: bool = Field(default=False, description="no such program")


@attrs.frozen(slots=True)
class Unknown:
    """The probe cannot tell: a recording that does not contain this. Unknown is not absent."""

    what: str


class Probe(Protocol):
    """Everything a detector may ask. Calls never raise for what the machine answers; they report it."""

    def pci_devices(self) -> Sequence[PciDevice] | Unknown:
        """Return all PCI functions, in BDF order."""
        ...

    def read_file(self, path: str) -> str | Unknown | None:
        """Return a text file's content; None when it does not exist or cannot be read."""
        ...

    def list_dir(self, path: str) -> Sequence[str] | Unknown | None:
        """Return the sorted names in a folder; None when there is none."""
        ...

    def environ(self, name: str) -> str | Unknown | None:
        """Return an environment variable."""
        ...

    def run(self, command: Sequence[str], *, timeout_s: float) -> CommandResult | Unknown:
        """Run a program without a shell, killed with its children at the deadline."""
        ...

    def library(self, name: str, call: str) -> str | Unknown | None:
        """Return a vendor library's reply as JSON text; None when the library is missing."""
        ...


class ProbeRecording(WireModel):
    """One machine in one JSON file: fixture, bug report and conformance input. A key not present is unknown."""

    pci: tuple[PciDevice, ...] | None = None
    files: Mapping[str, str | None] = Field(default_factory=dict)
    directories: Mapping[str, tuple[str, ...] | None] = Field(default_factory=dict)
    environment: Mapping[str, str | None] = Field(default_factory=dict)
    commands: Mapping[str, CommandResult] = Field(
        default_factory=dict, description="keyed by the joined command"
    )
    libraries: Mapping[str, str | None] = Field(default_factory=dict, description="keyed by 'name:call'")
    note: str = ""

    def replay(self) -> ReplayProbe:
        """Return a probe that answers from this recording alone."""
        return ReplayProbe(self)


def command_key(command: Sequence[str]) -> str:
    """Return the key under which a recording keeps ``command``."""
    return " ".join(command)


class ReplayProbe:
    """Answers from a recording; what it does not contain is :class:`Unknown`."""

    def __init__(self, recording: ProbeRecording) -> None:
        self._recording = recording

    def pci_devices(self) -> Sequence[PciDevice] | Unknown:
        """Return the recorded PCI functions."""
        return Unknown("pci") if self._recording.pci is None else self._recording.pci

    def read_file(self, path: str) -> str | Unknown | None:
        """Return the recorded file."""
        files = self._recording.files
        return files[path] if path in files else Unknown(path)

    def list_dir(self, path: str) -> Sequence[str] | Unknown | None:
        """Return the recorded folder."""
        directories = self._recording.directories
        return directories[path] if path in directories else Unknown(path)

    def environ(self, name: str) -> str | Unknown | None:
        """Return the recorded variable."""
        environment = self._recording.environment
        return environment[name] if name in environment else Unknown(name)

    def run(self, command: Sequence[str], *, timeout_s: float) -> CommandResult | Unknown:
        """Return the recorded outcome; ``timeout_s`` has no effect."""
        key = command_key(command)
        return self._recording.commands.get(key, Unknown(key))

    def library(self, name: str, call: str) -> str | Unknown | None:
        """Return the recorded reply."""
        key = f"{name}:{call}"
        libraries = self._recording.libraries
        return libraries[key] if key in libraries else Unknown(key)


class RecordingProbe:
    """Passes each question to ``probe`` and keeps the answer, so that :meth:`recording` replays the same run."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self._pci: tuple[PciDevice, ...] | None = None
        self._files: dict[str, str | None] = {}
        self._directories: dict[str, tuple[str, ...] | None] = {}
        self._environment: dict[str, str | None] = {}
        self._commands: dict[str, CommandResult] = {}
        self._libraries: dict[str, str | None] = {}

    def pci_devices(self) -> Sequence[PciDevice] | Unknown:
        """Ask and keep."""
        answer = self._probe.pci_devices()
        if not isinstance(answer, Unknown):
            self._pci = tuple(answer)
        return answer

    def read_file(self, path: str) -> str | Unknown | None:
        """Ask and keep."""
        answer = self._probe.read_file(path)
        if not isinstance(answer, Unknown):
            self._files[path] = answer
        return answer

    def list_dir(self, path: str) -> Sequence[str] | Unknown | None:
        """Ask and keep."""
        answer = self._probe.list_dir(path)
        if not isinstance(answer, Unknown):
            self._directories[path] = None if answer is None else tuple(answer)
        return answer

    def environ(self, name: str) -> str | Unknown | None:
        """Ask and keep."""
        answer = self._probe.environ(name)
        if not isinstance(answer, Unknown):
            self._environment[name] = answer
        return answer

    def run(self, command: Sequence[str], *, timeout_s: float) -> CommandResult | Unknown:
        """Ask and keep."""
        answer = self._probe.run(command, timeout_s=timeout_s)
        if not isinstance(answer, Unknown):
            self._commands[command_key(command)] = answer
        return answer

    def library(self, name: str, call: str) -> str | Unknown | None:
        """Ask and keep."""
        answer = self._probe.library(name, call)
        if not isinstance(answer, Unknown):
            self._libraries[f"{name}:{call}"] = answer
        return answer

    def recording(self, note: str = "") -> ProbeRecording:
        """Return all that was asked so far."""
        return ProbeRecording(
            pci=self._pci,
            files=dict(self._files),
            directories=dict(self._directories),
            environment=dict(self._environment),
            commands=dict(self._commands),
            libraries=dict(self._libraries),
            note=note,
        )
