"""A recorded machine made real: a folder that stands for ``/``, and executables in place of the vendor's tools."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import attrs

from ..probe import CommandResult, Probe, ProbeRecording, RecordingProbe
from .damage import Damage, damage_for
from .fake_tools import write_libraries, write_tools

_SYSFS = "/sys/bus/pci/devices"
_TOOLS = "tools"
_LIBRARIES = "libraries"


@attrs.frozen(slots=True)
class FakeMachine:
    """``root`` stands for ``/``; ``environment`` is what a process that looks at it must have, None: not set.

    ``PATH`` holds nothing but the fake tools, so that a tool of the machine the test runs on is never asked, and
    ``PYTHONPATH`` makes ``python -m LIBRARY CALL`` answer with the recorded library replies.
    """

    root: Path
    environment: Mapping[str, str | None]

    def applied_to(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Return ``environment`` as a process on this machine has it."""
        merged = {**environment, **self.environment}
        return {name: value for name, value in merged.items() if value is not None}


def write_machine(
    folder: Path, recording: ProbeRecording, damages: Mapping[str, Damage] | None = None
) -> FakeMachine:
    """Write the recorded machine below ``folder``, its commands damaged as ``damages`` says.

    A key of ``damages`` is a whole command, a program's name, or ``*`` for all others. What the recording does not
    hold is not written: a live probe below ``root`` says "not there" where the recording says "unknown". A command
    without an exit status, which a plain capture does not know, ends with 0; one that timed out never ends. Raises
    ValueError for a path that leads out of the folder or is both a file and a folder.
    """
    root = folder / "root"
    root.mkdir(parents=True, exist_ok=True)
    _write_pci(root, recording)
    for path, names in recording.directories.items():
        _write_directory(root, path, names)
    for path, text in recording.files.items():
        if text is not None:
            _write_file(_below(root, path), text)
    _write_names(root, recording)
    commands = {
        key: (result, damage_for(key, damages or {}))
        for key, result in recording.commands.items()
        if not result.missing
    }
    tools = write_tools(folder / _TOOLS, root, commands)
    libraries = write_libraries(folder / _LIBRARIES, recording.libraries)
    environment = {**recording.environment, "PATH": str(tools), "PYTHONPATH": str(libraries)}
    return FakeMachine(root, environment)


def asked_again(recording: ProbeRecording, probe: Probe, *, timeout_s: float = 10.0) -> ProbeRecording:
    """Return what ``probe`` answers to every question in ``recording``; commands are asked by their words."""
    kept = RecordingProbe(probe)
    if recording.pci is not None:
        kept.pci_devices()
    for path in recording.files:
        kept.read_file(path)
    for path in recording.directories:
        kept.list_dir(path)
    for name in recording.environment:
        kept.environ(name)
    for command in recording.commands:
        kept.run(command.split(" "), timeout_s=timeout_s)
    for key in recording.libraries:
        kept.library(*key.rsplit(":", 1))
    return kept.recording(recording.note)


def _write_pci(root: Path, recording: ProbeRecording) -> None:
    if recording.pci is None:
        return
    base = _below(root, _SYSFS)
    base.mkdir(parents=True, exist_ok=True)
    for device in recording.pci:
        folder = base / device.bdf
        fields = {
            "vendor": f"0x{device.vendor}",
            "device": f"0x{device.device}",
            "class": f"0x{device.device_class}",
            "numa_node": str(-1 if device.numa_node is None else device.numa_node),
        }
        for name, text in fields.items():
            _write_file(folder / name, text + "\n")
        if device.driver is not None and not (folder / "driver").is_symlink():
            (folder / "driver").symlink_to(f"../../../bus/pci/drivers/{device.driver}")


def _write_directory(root: Path, path: str, names: tuple[str, ...] | None) -> None:
    if names is not None:
        _below(root, path).mkdir(parents=True, exist_ok=True)


def _write_names(root: Path, recording: ProbeRecording) -> None:
    """Let every listed name exist: what nothing else was written for is an empty file, as a device node would be."""
    for path, names in recording.directories.items():
        for name in names or ():
            entry = _below(root, f"{path}/{name}")
            if not os.path.lexists(entry):
                entry.touch()


def _write_file(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("utf-8", errors="replace"))
    except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
        raise ValueError(f"{path} is both a file and a folder in the recording") from error


def _below(root: Path, path: str) -> Path:
    parts = PurePosixPath("/", path.lstrip("/")).parts[1:]
    if ".." in parts or "\0" in path or not path.startswith("/"):
        raise ValueError(f"{path!r} is no absolute path without '..'")
    return root.joinpath(*parts)


def with_exit_status(result: CommandResult) -> CommandResult:
    """Return what a live probe sees of a fake of ``result``: an end with status 0 where the recording knows none."""
    if result.missing or result.timed_out or result.exit_status is not None:
        return result
    return result.model_copy(update={"exit_status": 0})
