"""Runs every detector in a child process of its own and merges what they report."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from pydantic import Field, NonNegativeFloat, ValidationError

from sage_infer_contracts.detection import DetectionReport, HardwareDetector as Detector
from sage_infer_contracts.devices import HardwareProfile
from sage_infer_contracts.plugins import PluginRef
from sage_infer_contracts.probe import ProbeRecording
from sage_infer_contracts.wire import FrozenModel, WireModel

from .. import env
from . import bounded
from .merge import merge_recordings, merge_reports

if TYPE_CHECKING:
    from sage_infer.plugins import Registry
    from sage_infer.plugins.hooks import FromPlugin

DEFAULT_TIMEOUT_S = 30.0
ANSWER_LIMIT_BYTES = 32 * 2**20
PROBE_MARGIN_S = 1.0
"""How long before a child's deadline its probe stops waiting, so that the detector can still report."""
_AT_ONCE = 8


class DetectorRun(FrozenModel):
    """One detector's report, whose it is, and how long it took."""

    plugin: PluginRef
    report: DetectionReport
    duration_s: NonNegativeFloat


class Detection(WireModel):
    """Outcome of one run over all detectors."""

    profile: HardwareProfile
    runs: tuple[DetectorRun, ...] = ()
    problems: tuple[str, ...] = Field(
        default=(), description="plugins that failed to load, devices claimed twice"
    )
    recording: ProbeRecording | None = Field(default=None, description="what was asked, when asked to record")


def detect_hardware(
    registry: Registry | None = None,
    *,
    replay: ProbeRecording | None = None,
    record: bool = False,
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> Detection:
    """Ask every detector that hook plugins offer, each in a child that is killed after ``timeout_s`` seconds.

    With ``replay`` detectors look at the recording instead of this machine. A detector that hangs, crashes, exits
    or answers nonsense is reported ``unreadable`` with the reason; the others are not affected.
    """
    if registry is None:
        from sage_infer.plugins import default_registry

        registry = default_registry()
    detectors = registry.hooks.detectors()
    problems = [problem.message for problem in registry.hooks.problems]

    def ask(found: FromPlugin[Detector]) -> tuple[DetectorRun, ProbeRecording | None]:
        return run_detector(found.ref, _name(found), replay=replay, record=record, timeout_s=timeout_s)

    with ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="detector") as threads:
        answers = list(threads.map(ask, detectors))
    return _merged([run for run, _ in answers], [recording for _, recording in answers], problems, record)


def run_detector(
    ref: PluginRef,
    hardware_backend: str,
    *,
    replay: ProbeRecording | None = None,
    record: bool = False,
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> tuple[DetectorRun, ProbeRecording | None]:
    """Run the detector of hook plugin ``ref`` in a child; never raises for what the child does."""
    question = {
        "ref": ref.model_dump(mode="json"),
        "hardware_backend": hardware_backend,
        "replay": None if replay is None else replay.model_dump(mode="json"),
        "record": record,
        "timeout_s": max(timeout_s - PROBE_MARGIN_S, timeout_s / 2),
    }
    started = time.monotonic()
    outcome = bounded.run(
        # -P: what lies in the current folder is not imported in place of what is installed.
        [sys.executable, "-P", "-m", "sage_infer.hal._child"],
        timeout_s=timeout_s,
        limit_bytes=ANSWER_LIMIT_BYTES,
        environment=env.child_environment({}),
        standard_input=json.dumps(question).encode(),
    )
    report, recording = _read_answer(outcome, hardware_backend)
    return DetectorRun(plugin=ref, report=report, duration_s=time.monotonic() - started), recording


def _read_answer(outcome: bounded.Outcome, name: str) -> tuple[DetectionReport, ProbeRecording | None]:
    if outcome.failure is not None:
        return unreadable(name, f"the detector {outcome.failure}{_last_line(outcome.stderr)}"), None
    try:
        answer: dict[str, Any] = json.loads(outcome.stdout)
        if "error" in answer:
            return unreadable(name, str(answer["error"])), None
        report = DetectionReport.model_validate(answer["report"])
        recording = answer.get("recording")
        kept = None if recording is None else ProbeRecording.model_validate(recording)
    except (ValueError, KeyError, TypeError, RecursionError, ValidationError) as error:
        first = str(error).splitlines()[0]
        return unreadable(name, f"the detector's answer cannot be used: {first}"), None
    if report.hardware_backend != name:
        return unreadable(name, f"the detector for {name} reported {report.hardware_backend}"), None
    return report, kept


def unreadable(hardware_backend: str, reason: str) -> DetectionReport:
    """Return the report of a detector that could not say anything (HD-01)."""
    return DetectionReport(hardware_backend=hardware_backend, state="unreadable", reason=reason)


def _last_line(stderr: str) -> str:
    lines = stderr.strip().splitlines()
    return f": {lines[-1][:300]}" if lines else ""


def _name(found: FromPlugin[Detector]) -> str:
    try:
        return str(found.value.hardware_backend)
    except Exception:  # noqa: BLE001  # boundary: a property of a foreign object; the child reports the failure
        return "unknown"


def _merged(
    runs: Sequence[DetectorRun],
    recordings: Iterable[ProbeRecording | None],
    problems: Sequence[str],
    record: bool,
) -> Detection:
    profile, conflicts = merge_reports([run.report for run in runs])
    kept = merge_recordings([one for one in recordings if one is not None]) if record else None
    return Detection(profile=profile, runs=tuple(runs), problems=(*problems, *conflicts), recording=kept)
