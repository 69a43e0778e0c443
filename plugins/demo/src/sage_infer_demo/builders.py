"""How pinned files become a model folder."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from sage_infer_contracts.errors import DeadlineExceeded, DeviceUnavailable, IntegrityError
from sage_infer_contracts.models import ProgressCallback

from . import children

CONVERT_DEADLINE_S = 1800.0


class Builder(Protocol):
    """Turns pinned files into a Hugging Face folder."""

    @property
    def version(self) -> str:
        """Name and version; a cached folder of another builder version is built again."""
        ...

    def build(self, files: Mapping[str, Path], folder: Path, progress: ProgressCallback) -> None:
        """Fill the empty ``folder`` from ``files`` (by target name)."""
        ...


class CopyFolder:
    """The package already contains a model folder: copy it."""

    version = "copy-1"

    def build(self, files: Mapping[str, Path], folder: Path, progress: ProgressCallback) -> None:
        """Copy every file to its target path."""
        for done, (target, path) in enumerate(files.items()):
            progress("copying the model", done / len(files))
            (folder / target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / target)
        progress("copying the model", 1.0)


class ConvertGguf:
    """The package contains one GGUF file: convert it in a child process, which keeps this one small."""

    version = "gguf-fp32-1"

    def build(self, files: Mapping[str, Path], folder: Path, progress: ProgressCallback) -> None:
        """Run ``python -m sage_infer_demo.convert`` and pass its progress on."""
        (source,) = files.values()
        ended = children.run(
            [sys.executable, "-m", "sage_infer_demo.convert", str(source), str(folder)],
            deadline_s=CONVERT_DEADLINE_S,
            on_line=lambda line: _report(line, progress),
        )
        if ended.timed_out:
            raise DeadlineExceeded(f"converting {source.name} took more than {CONVERT_DEADLINE_S:.0f} s")
        if ended.status != 0:
            raise _failure(source, ended)


def _report(line: str, progress: ProgressCallback) -> None:
    try:
        report = json.loads(line)
        stage, share = report["stage"], report["share"]
    except (ValueError, TypeError, KeyError):
        return  # a library's chatter on stdout
    progress(str(stage), None if share is None else float(share))


def _failure(source: Path, ended: children.Ended) -> Exception:
    lines = ended.tail.splitlines() or [f"exit status {ended.status}"]
    message = f"converting {source.name} failed: {lines[-1]}"
    if "ModuleNotFoundError" in lines[-1]:
        return DeviceUnavailable(
            f"{message}; reinstall with: pip install sage-infer-demo", reason="dependency"
        )
    if ended.status < 0:
        return DeviceUnavailable(
            f"{message} (killed by signal {-ended.status}, memory may be short)", reason="killed"
        )
    return IntegrityError(message)
