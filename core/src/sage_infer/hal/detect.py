"""Runs every detector in a child process of its own and merges what they report."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs
from pydantic import Field, NonNegativeFloat, ValidationError

from sage_infer_contracts.detection import DetectionReport, HardwareDetector as Detector
from sage_infer_contracts.devices import HardwareProfile
from sage_infer_contracts.plugins import PluginRef
from sage_infer_contracts.probe import ProbeRecording
from sage_infer_contracts.wire import FrozenModel, WireModel

from .. import env
from . import bounded
from .capture import Capture
from .merge import merge_recordings, merge_reports

if TYPE_CHECKING:
    from sage_infer.plugins import Registry
    from sage_infer.plugins.hooks import FromPlugin

DEFAULT_TIMEOUT_S = 30.0
ANSWER_LIMIT_BYTES = 32 * 2**20
PROBE_MARGIN_S = 1.0
"""How long before a child's deadline its probe stops waiting, so that the detector can still report."""
_AT_ONCE = 8
_MACHINES_PER_CHILD = 16

Machine: TypeAlias = ProbeRecording | Capture | None
"""What a detector may be asked about; None is the machine this runs on."""


class DetectorRun(FrozenModel):
    """One detector's report, whose it is, and how long it took."""

    plugin: PluginRef
    report: DetectionReport
    duration_s: NonNegativeFloat = Field(
        description="of detection; with the start of its process where that was for one machine"
    )
    answered: tuple[str, ...] = Field(
        default=(), description="commands that a plain capture was the answer to"
    )
    recording: ProbeRecording | None = Field(default=None, exclude=True)


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
    return detect_machines([replay], registry, record=record, timeout_s=timeout_s)[0]


def detect_machines(
    machines: Sequence[Machine],
    registry: Registry | None = None,
    *,
    record: bool = False,
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> list[Detection]:
    """Ask every detector about each machine: this one (None), a recording, or a plain capture of one command.

    A detector's machines share a child, so that a folder of captures costs one start per detector and not per file;
    one that fails there is asked again in a child of its own.
    """
    if registry is None:
        from sage_infer.plugins import default_registry

        registry = default_registry()
    detectors = registry.hooks.detectors()
    problems = [problem.message for problem in registry.hooks.problems]

    def ask(found: FromPlugin[Detector]) -> list[DetectorRun]:
        return run_detector(found.ref, _name(found), machines, record=record, timeout_s=timeout_s)

    with ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="detector") as threads:
        answers = list(threads.map(ask, detectors))
    return [_merged([runs[at] for runs in answers], problems, record) for at in range(len(machines))]


def run_detector(
    ref: PluginRef,
    hardware_backend: str,
    machines: Sequence[Machine] = (None,),
    *,
    record: bool = False,
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> list[DetectorRun]:
    """Run the detector of hook plugin ``ref`` on each machine, in a child; never raises for what the child does."""
    runs: list[DetectorRun] = []
    while len(runs) < len(machines):
        rest = machines[len(runs) : len(runs) + _MACHINES_PER_CHILD]
        started = time.monotonic()
        outcome = _ask_child(ref, rest, record=record, timeout_s=timeout_s)
        lines = outcome.stdout.split("\n")[:-1][
            : len(rest)
        ]  # the last line of a killed child may be half a line
        answers = [_Answer.read(line, hardware_backend) for line in lines]
        if not answers or (len(rest) == 1 and outcome.failure is not None):
            why = outcome.failure or "ended without an answer"
            reason = f"the detector {why}{_last_line(outcome.stderr)}"
            answers = [_Answer(unreadable(hardware_backend, reason))]
        spent_s = time.monotonic() - started
        runs += [one.run(ref, spent_s if len(rest) == 1 else one.duration_s) for one in answers]
    return runs


def _ask_child(
    ref: PluginRef, machines: Sequence[Machine], *, record: bool, timeout_s: float
) -> bounded.Outcome:
    question = {
        "ref": ref.model_dump(mode="json"),
        "machines": [None if one is None else one.model_dump(mode="json") for one in machines],
        "record": record,
        # The clock is the system's, so that the child's start counts too.
        "ends_at_monotonic_s": time.monotonic() + max(timeout_s - PROBE_MARGIN_S, timeout_s / 2),
    }
    return bounded.run(
        # -P: what lies in the current folder is not imported in place of what is installed.
        [sys.executable, "-P", "-m", "sage_infer.hal._child"],
        timeout_s=timeout_s,
        limit_bytes=ANSWER_LIMIT_BYTES,
        environment=env.child_environment({}),
        standard_input=json.dumps(question).encode(),
    )


@attrs.frozen(slots=True)
class _Answer:
    """What a child said of one machine."""

    report: DetectionReport
    recording: ProbeRecording | None = None
    answered: tuple[str, ...] = ()
    duration_s: float = 0.0

    @classmethod
    def read(cls, line: str, name: str) -> _Answer:
        """Read a line of a child's output, which foreign code may have garbled."""
        try:
            answer: dict[str, Any] = json.loads(line)
            if "error" in answer:
                return cls(unreadable(name, str(answer["error"])))
            report = DetectionReport.model_validate(answer["report"])
            recording = answer.get("recording")
            kept = None if recording is None else ProbeRecording.model_validate(recording)
            answered = tuple(map(str, answer.get("answered", ())))
            duration_s = max(0.0, float(answer["duration_s"]))
        except (ValueError, KeyError, TypeError, RecursionError, ValidationError) as error:
            first = str(error).splitlines()[0]
            return cls(unreadable(name, f"the detector's answer cannot be used: {first}"))
        if report.hardware_backend != name:
            return cls(unreadable(name, f"the detector for {name} reported {report.hardware_backend}"))
        return cls(report, kept, answered, duration_s)

    def run(self, ref: PluginRef, duration_s: float) -> DetectorRun:
        """Return the answer as a detection has it."""
        return DetectorRun(
            plugin=ref,
            report=self.report,
            duration_s=duration_s,
            answered=self.answered,
            recording=self.recording,
        )


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


def _merged(runs: Sequence[DetectorRun], problems: Sequence[str], record: bool) -> Detection:
    profile, conflicts = merge_reports([run.report for run in runs])
    kept = [run.recording for run in runs if run.recording is not None]
    return Detection(
        profile=profile,
        runs=tuple(run.model_copy(update={"recording": None}) for run in runs),
        problems=(*problems, *conflicts),
        recording=merge_recordings(kept) if record else None,
    )
