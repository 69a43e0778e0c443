"""The child's side of :mod:`sage_infer.hal.detect`: resolves one hook plugin, runs its detector, prints the report."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

from sage_infer_contracts.detection import DetectionReport, HardwareDetector
from sage_infer_contracts.errors import SageInferError
from sage_infer_contracts.plugins import PluginRef
from sage_infer_contracts.probe import Probe, ProbeRecording, RecordingProbe

from ..plugins import default_registry
from ..plugins.hooks import Hooks
from .probe import LiveProbe


def answer(question: Mapping[str, Any]) -> dict[str, Any]:
    """Run the detector that ``question`` names and return its report, and the recording if one was asked for."""
    # The clock starts here, as in the parent, so that loading counts too.
    deadline = time.monotonic() + float(question["timeout_s"])
    try:
        plugin = default_registry().resolve(PluginRef.model_validate(question["ref"]))
    except SageInferError as error:
        return {"error": str(error)}
    hooks = Hooks([plugin])
    found = [detector.value for detector in hooks.detectors()]
    if not found:
        return {"error": "; ".join(problem.message for problem in hooks.problems) or "it has no detector"}
    recording = RecordingProbe(_probe(question["replay"], deadline))
    report = _detect(found[0], recording)
    reply: dict[str, Any] = {"report": report.model_dump(mode="json")}
    if question["record"]:
        reply["recording"] = recording.recording().model_dump(mode="json")
    return reply


def _detect(detector: HardwareDetector, probe: Probe) -> DetectionReport:
    report = detector.detect(probe)
    if not isinstance(report, DetectionReport):
        raise TypeError(f"detect returned a {type(report).__name__}, not a DetectionReport")
    return report


def _probe(replay: Mapping[str, Any] | None, deadline: float) -> Probe:
    if replay is None:
        return LiveProbe(deadline=deadline)
    return ProbeRecording.model_validate(replay).replay()


def main() -> None:
    """Answer the question on stdin. What the plugin prints goes to stderr, so that it cannot garble the answer."""
    question = json.loads(sys.stdin.buffer.read())
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)
        try:
            reply = answer(question)
        except Exception as error:  # noqa: BLE001  # boundary: foreign code ran; its failure is the answer
            reply = {"error": f"the detector raised {type(error).__name__}: {error}"}
        json.dump(reply, out)


if __name__ == "__main__":
    main()
    sys.stderr.flush()
    os._exit(0)  # the answer is written: threads or exit handlers a plugin started are not waited for
