"""Machines changed, detected, and what was asked of them."""

from __future__ import annotations

from collections.abc import Sequence

from sage_infer_contracts.detection import DetectionReport
from sage_infer_contracts.probe import CommandResult, ProbeRecording, RecordingProbe
from sage_infer_kunlunxin.detector import KunlunxinDetector


def detect(recording: ProbeRecording) -> DetectionReport:
    return KunlunxinDetector().detect(recording.replay())


def asked(recording: ProbeRecording) -> list[str]:
    """Which commands are run, in order, and each how often."""
    commands: list[str] = []

    class Listening(RecordingProbe):
        def run(self, command: Sequence[str], *, timeout_s: float) -> object:  # type: ignore[override]
            commands.append(" ".join(command))
            return super().run(command, timeout_s=timeout_s)

    KunlunxinDetector().detect(Listening(recording.replay()))
    return commands


def answering(recording: ProbeRecording, **changes: object) -> ProbeRecording:
    return recording.model_copy(update=changes)


def with_command(recording: ProbeRecording, key: str, **result: object) -> ProbeRecording:
    commands = {**recording.commands, key: CommandResult.model_validate(result)}
    return recording.model_copy(update={"commands": commands})
