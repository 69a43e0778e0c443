"""The child's side of :mod:`sage_infer.hal.detect`: resolves one hook plugin, runs its detector, prints its reports."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from sage_infer_contracts.detection import DetectionReport, HardwareDetector
from sage_infer_contracts.errors import SageInferError
from sage_infer_contracts.plugins import PluginRef
from sage_infer_contracts.probe import Probe, ProbeRecording, RecordingProbe

from ..plugins import default_registry
from ..plugins.hooks import Hooks
from .capture import Capture, CaptureProbe
from .probe import LiveProbe


def answers(question: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Run the detector that ``question`` names on each of its machines, and yield a reply per machine, in order.

    A reply is the report, how long it took, the commands that a capture answered, and the recording if one was asked
    for; or an error.
    """
    deadline = float(question["ends_at_monotonic_s"])
    detector = _detector(question["ref"])
    for machine in question["machines"]:
        if isinstance(detector, str):
            yield {"error": detector}
            continue
        try:
            yield _looked(detector, _probe(machine, deadline), record=question["record"])
        except Exception as error:  # noqa: BLE001  # boundary: foreign code ran; its failure is the answer
            yield {"error": f"the detector raised {type(error).__name__}: {error}"}


def _detector(ref: Mapping[str, Any]) -> HardwareDetector | str:
    """Return the plugin's detector, or why there is none."""
    try:
        plugin = default_registry().resolve(PluginRef.model_validate(ref))
    except SageInferError as error:
        return str(error)
    hooks = Hooks([plugin])
    found = [detector.value for detector in hooks.detectors()]
    if not found:
        return "; ".join(problem.message for problem in hooks.problems) or "it has no detector"
    return found[0]


def _looked(detector: HardwareDetector, probe: Probe, *, record: bool) -> dict[str, Any]:
    recording = RecordingProbe(probe)
    began = time.monotonic()
    report = detector.detect(recording)
    if not isinstance(report, DetectionReport):
        raise TypeError(f"detect returned a {type(report).__name__}, not a DetectionReport")
    reply: dict[str, Any] = {"report": report.model_dump(mode="json"), "duration_s": time.monotonic() - began}
    if isinstance(probe, CaptureProbe):
        near = None if probe.answered else probe.capture.nearest(probe.asked)
        if near is not None:
            return _looked(detector, CaptureProbe(probe.capture, near), record=record)
        reply["answered"] = probe.answered
    if record:
        reply["recording"] = recording.recording().model_dump(mode="json")
    return reply


def _probe(machine: Mapping[str, Any] | None, deadline: float) -> Probe:
    if machine is None:
        return LiveProbe(deadline=deadline)
    if "text" in machine:
        return CaptureProbe(Capture.model_validate(machine))
    return ProbeRecording.model_validate(machine).replay()


def main() -> None:
    """Answer the question on stdin, one line per machine as soon as it is known.

    What the plugin prints goes to stderr, so that it cannot garble the answers.
    """
    question = json.loads(sys.stdin.buffer.read())
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)
        for reply in answers(question):
            out.write(json.dumps(reply) + "\n")
            out.flush()


if __name__ == "__main__":
    main()
    sys.stderr.flush()
    os._exit(0)  # the answers are written: threads or exit handlers a plugin started are not waited for
