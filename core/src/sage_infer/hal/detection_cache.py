"""A detection kept for a stated time. Its age is always shown, and what could change it is looked at again."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
from pydantic import ValidationError

from sage_infer_contracts.kinds import PluginKind
from sage_infer_contracts.wire import WireModel

from .. import env
from .detect import DEFAULT_TIMEOUT_S, Detection, detect_hardware
from .proc import boot_id

if TYPE_CHECKING:
    from sage_infer.plugins import Registry


@attrs.frozen(slots=True)
class AgedDetection:
    """A detection and how old it is, in seconds; 0 is fresh."""

    detection: Detection
    age_s: float


class _Kept(WireModel):
    """What the file holds: a detection with its recording, and what it is good for."""

    detected_at: float
    """Seconds of the real-time clock; a clock that went back makes it stale."""
    boot_id: str | None
    plugins: tuple[str, ...]
    detection: Detection


class DetectionCache:
    """Keeps the last detection in a file, for processes of one user.

    One that is older than asked for, from before a reboot, of other plugins, or made while a variable that a detector
    asked for had another value, is not used. A file that cannot be read is none; one that cannot be written is left.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or env.cache_dir() / "detection.json"

    def get(
        self,
        *,
        max_age_s: float,
        refresh: bool = False,
        registry: Registry | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> AgedDetection:
        """Return a detection no older than ``max_age_s``; with ``refresh``, or where there is none, look now."""
        if registry is None:
            from sage_infer.plugins import default_registry

            registry = default_registry()
        plugins = tuple(
            sorted(f"{one.qualified} {one.version}" for one in registry.entries(PluginKind.HOOKS))
        )
        kept = None if refresh else self._read()
        if kept is not None:
            age_s = time.time() - kept.detected_at
            if 0 <= age_s <= max_age_s and _still_holds(kept, plugins):
                return AgedDetection(kept.detection.model_copy(update={"recording": None}), age_s)
        detection = detect_hardware(registry, record=True, timeout_s=timeout_s)
        self._write(_Kept(detected_at=time.time(), boot_id=boot_id(), plugins=plugins, detection=detection))
        return AgedDetection(detection.model_copy(update={"recording": None}), 0.0)

    def _read(self) -> _Kept | None:
        try:
            return _Kept.model_validate_json(self._path.read_bytes())
        except (OSError, ValidationError):
            return None

    def _write(self, kept: _Kept) -> None:
        # Of the recording only the variables matter here, and outputs of tools need not lie about.
        recording = kept.detection.recording
        asked = (
            None
            if recording is None
            else recording.model_copy(
                update={"pci": None, "files": {}, "directories": {}, "commands": {}, "libraries": {}}
            )
        )
        lean = kept.detection.model_copy(update={"recording": asked})
        text = kept.model_copy(update={"detection": lean}).model_dump_json()
        own = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            own.write_text(text, encoding="utf-8")
            own.replace(self._path)
        except OSError:
            with suppress(OSError):
                own.unlink()


def _still_holds(kept: _Kept, plugins: tuple[str, ...]) -> bool:
    recording = kept.detection.recording
    variables = {} if recording is None else recording.environment
    same = all(env.variable(name) == value for name, value in variables.items())
    return same and kept.boot_id == boot_id() and kept.plugins == plugins


def age_in_words(age_s: float) -> str:
    """Return how old a detection is, for people."""
    if age_s <= 0:
        return "detected now"
    return f"detected {age_s:.0f} s ago (kept; --refresh looks again)"


def as_json(found: AgedDetection) -> str:
    """Return the detection as JSON with its age."""
    plain = found.detection.model_dump(mode="json", exclude={"recording"})
    return json.dumps({**plain, "age_s": round(found.age_s, 3)}, indent=2)
