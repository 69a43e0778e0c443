"""What a detector is shown: a recording, and how everything that is not in it answers."""

from __future__ import annotations

import json
from collections.abc import Iterator

from sage_infer_contracts.probe import CommandResult, PciDevice, ProbeRecording
from sage_infer_contracts.wire import FrozenModel

Source = str
"""A source by its kind and name, e.g. ``command:lspci -n``, ``file:/proc/cpuinfo``, ``pci``."""


class Shown(FrozenModel):
    """A machine as a probe shows it. What is recorded nowhere is unknown unless one of the others says otherwise."""

    recording: ProbeRecording = ProbeRecording()
    bare: bool = False
    """Files, folders, variables and libraries that are not recorded do not exist."""
    any_command: CommandResult | None = None
    """What every command answers that is not recorded."""

    def texts(self) -> dict[Source, str]:
        """Return all text that tools and files show, by source."""
        found = {f"file:{path}": text for path, text in self.recording.files.items() if text is not None}
        for key, result in self.recording.commands.items():
            found[f"command:{key}"] = result.stdout
        for key, reply in self.recording.libraries.items():
            if reply is not None:
                found[f"library:{key}"] = reply
        return found

    def pci(self) -> tuple[PciDevice, ...]:
        """Return the PCI functions that are shown; none where that is unknown."""
        return self.recording.pci or ()

    def commands(self) -> Iterator[Source]:
        """Yield the sources that are commands."""
        return (f"command:{key}" for key in self.recording.commands)

    @property
    def shows_nothing(self) -> bool:
        """Whether there is no file, output or reply with any content, but perhaps tools that fail."""
        recording, command = self.recording, self.any_command
        if (
            recording.files
            or recording.commands
            or recording.libraries
            or recording.directories
            or recording.pci
        ):
            return False
        if command is None or command.timed_out:
            return True
        return not command.stdout and command.exit_status not in (0, None)

    def with_text(self, source: Source, text: str) -> Shown:
        """Return the same with another text in ``source``; nothing changes where there is no such source.

        A probe promises that libraries reply in JSON, so nothing changes either where a reply would not be any more.
        """
        kind, _, name = source.partition(":")
        recording = self.recording
        if kind == "file" and name in recording.files:
            return self._update(files={**recording.files, name: text})
        if kind == "command" and name in recording.commands:
            result = recording.commands[name].model_copy(update={"stdout": text})
            return self._update(commands={**recording.commands, name: result})
        if kind == "library" and name in recording.libraries and _is_json(text):
            return self._update(libraries={**recording.libraries, name: text})
        return self

    def with_result(self, source: Source, result: CommandResult) -> Shown:
        """Return the same with another outcome of a command."""
        name = source.removeprefix("command:")
        return self._update(commands={**self.recording.commands, name: result})

    def gone(self, source: Source) -> Shown:
        """Return the same without ``source``: the command missing, the file or folder not there."""
        kind, _, name = source.partition(":")
        recording = self.recording
        if kind == "command":
            return self.with_result(source, CommandResult(missing=True))
        if kind == "file":
            return self._update(files={**recording.files, name: None})
        if kind == "folder":
            return self._update(directories={**recording.directories, name: None})
        if kind == "library":
            return self._update(libraries={**recording.libraries, name: None})
        if kind == "variable":
            return self._update(environment={**recording.environment, name: None})
        return self._update(pci=())

    def unheard(self, source: Source) -> Shown:
        """Return the same, and of ``source`` nobody knows anything."""
        kind, _, name = source.partition(":")
        if kind == "pci":
            return self._update(pci=None)
        field = FIELDS[kind]
        kept = {key: value for key, value in getattr(self.recording, field).items() if key != name}
        return self._update(**{field: kept})

    def with_pci(self, devices: tuple[PciDevice, ...]) -> Shown:
        """Return the same with other PCI functions, in the order in which a probe lists them."""
        return self._update(pci=tuple(sorted(devices, key=lambda device: device.bdf)))

    def with_variable(self, name: str, value: str | None) -> Shown:
        """Return the same with a variable set, or known to be not set."""
        return self._update(environment={**self.recording.environment, name: value})

    def _update(self, **changes: object) -> Shown:
        return self.model_copy(update={"recording": self.recording.model_copy(update=changes)})


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


FIELDS = {
    "file": "files",
    "folder": "directories",
    "variable": "environment",
    "command": "commands",
    "library": "libraries",
}
"""Where a recording keeps each kind of source."""
