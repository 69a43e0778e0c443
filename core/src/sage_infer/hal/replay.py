"""Machines kept in files: recordings, and plain captures with free text beside them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
from pydantic import Field

from sage_infer_contracts.devices import HardwareProfile
from sage_infer_contracts.errors import InvalidRequest
from sage_infer_contracts.probe import ProbeRecording

from .capture import Capture
from .detect import DEFAULT_TIMEOUT_S, Detection, detect_machines

if TYPE_CHECKING:
    from sage_infer.plugins import Registry

SOURCE_SUFFIX = ".source"
_SIZE_LIMIT_BYTES = 64 * 2**20


class FileDetection(Detection):
    """What detectors found in one file; where it could not be used, ``problems`` says why and the profile is empty."""

    file: str = Field(description="relative to the folder that was given")
    command: str | None = Field(default=None, description="of a plain capture, as a detector asked for it")


@attrs.frozen(slots=True)
class KeptMachine:
    """One file, read: a recording, a capture, or why it is neither."""

    file: str
    machine: ProbeRecording | Capture | None
    problem: str | None = None


def read_recording(path: Path) -> ProbeRecording:
    """Read what ``sage infer hw record`` wrote, or a file of ``machines_in``; raises ``InvalidRequest``."""
    why = f"{path} is not a recording of `sage infer hw record`"
    try:
        content = json.loads(path.read_bytes())
        plain = content.get("recording", content)
        # A wire type passes over what it does not know, and so would read any object as a machine nobody looked at.
        if plain and not set(plain) & set(ProbeRecording.model_fields):
            raise InvalidRequest(f"{why}: it has none of its fields")
        return ProbeRecording.model_validate(plain)
    except (OSError, ValueError, AttributeError, TypeError, RecursionError) as error:
        if isinstance(error, InvalidRequest):
            raise
        raise InvalidRequest(f"{why}: {str(error).splitlines()[0]}") from error


def kept_machines(path: Path) -> list[KeptMachine]:
    """Read a capture, or every recording (``.json``) and capture (``.txt``) in a folder and those below it, by name.

    What a capture is of says its ``.source``: the file beside it with that suffix in place of its own, or after it. A
    file of another name that has one is a capture too.
    """
    if not path.is_dir():
        return [_kept(path, path.name)]
    files = sorted(file for file in path.rglob("*") if file.is_file() and _is_kept(file))
    return [_kept(file, file.relative_to(path).as_posix()) for file in files]


def detect_kept(
    kept: Sequence[KeptMachine], registry: Registry | None = None, *, timeout_s: float = DEFAULT_TIMEOUT_S
) -> list[FileDetection]:
    """Run every detector on each, as on that machine; the answers are in the order given."""
    machines = [one.machine for one in kept if one.machine is not None]
    found = iter(detect_machines(machines, registry, timeout_s=timeout_s) if machines else ())
    return [_result(one, None if one.machine is None else next(found)) for one in kept]


def _is_kept(path: Path) -> bool:
    if path.suffix in (".txt", ".json"):
        return True
    return path.suffix != SOURCE_SUFFIX and _source_beside(path) is not None


def _kept(path: Path, name: str) -> KeptMachine:
    try:
        if path.stat().st_size > _SIZE_LIMIT_BYTES:
            return KeptMachine(name, None, f"is larger than {_SIZE_LIMIT_BYTES >> 20} MiB")
        if path.suffix == ".json" and _source_beside(path) is None:
            return KeptMachine(name, read_recording(path))
        return KeptMachine(name, Capture(text=_text(path), source=_source_of(path)))
    except InvalidRequest as error:
        return KeptMachine(name, None, str(error))
    except OSError as error:
        return KeptMachine(name, None, f"cannot be read: {error.strerror}")


def _source_beside(path: Path) -> Path | None:
    beside = (path.with_suffix(SOURCE_SUFFIX), path.with_name(path.name + SOURCE_SUFFIX))
    return next((file for file in beside if file.is_file()), None)


def _source_of(path: Path) -> str:
    source = _source_beside(path)
    return "" if source is None else _text(source)


def _text(path: Path) -> str:
    """Decode as UTF-8, or as the UTF-16 that a Windows shell writes."""
    data = path.read_bytes()
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    return data.decode(encoding, errors="replace")


def _result(one: KeptMachine, detection: Detection | None) -> FileDetection:
    if detection is None:
        return FileDetection(
            file=one.file, profile=HardwareProfile(), problems=(one.problem or "cannot be read",)
        )
    command = next((words for run in detection.runs for words in run.answered), None)
    problems = detection.problems
    if isinstance(one.machine, Capture) and command is None:
        problems = (*problems, _nobody_asked(one.machine))
    return FileDetection(
        file=one.file, command=command, profile=detection.profile, runs=detection.runs, problems=problems
    )


def _nobody_asked(capture: Capture) -> str:
    said = capture.commands()
    if said:
        return f"no installed detector asked for {said[0]!r}, which its source names"
    where = "its source does not name one" if capture.source.strip() else "it has no source beside it"
    return f"its command cannot be told: {where} that an installed detector asks for"
