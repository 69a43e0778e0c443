"""Why each detector found or did not find something, in words."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from sage_infer_contracts.detection import DetectionReport, DetectionStep
from sage_infer_contracts.errors import InvalidRequest
from sage_infer_contracts.kinds import RESERVED_HARDWARE_NAMES
from sage_infer_contracts.wire import FrozenModel

from .detect import Detection


class Explained(FrozenModel):
    """One detector's state, the reason for it, and what each of its sources said."""

    hardware_backend: str
    state: Literal["present", "absent", "unreadable", "partial", "not installed"]
    why: str
    plugin: str | None = None
    steps: tuple[DetectionStep, ...] = ()


def explained(detection: Detection, names: Collection[str] = ()) -> list[Explained]:
    """Explain every detector that ran, and which of the project's hardware has none installed.

    With ``names`` only those; raises ``InvalidRequest`` for a name that neither has a detector nor is known.
    """
    found = [
        Explained(
            hardware_backend=run.report.hardware_backend,
            state=run.report.state,
            why=why(run.report),
            plugin=f"{run.plugin.distribution}:{run.plugin.name}",
            steps=run.report.steps,
        )
        for run in detection.runs
    ]
    ran = {one.hardware_backend for one in found}
    found += [_not_installed(name) for name in sorted(RESERVED_HARDWARE_NAMES - ran)]
    known = {one.hardware_backend for one in found}
    unknown = sorted(set(names) - known)
    if unknown:
        raise InvalidRequest(
            f"no detector is called {', '.join(unknown)}; there are {', '.join(sorted(known))}", param="names"
        )
    return [one for one in found if not names or one.hardware_backend in names]


def why(report: DetectionReport) -> str:
    """Return the report's reason, or one made from its steps where a state needs none."""
    if report.reason:
        return report.reason
    if report.accelerators:
        shown_by = ", ".join(step.source for step in report.steps if step.outcome == "used")
        count = len(report.accelerators)
        return f"{count} {'device' if count == 1 else 'devices'}" + (
            f", shown by {shown_by}" if shown_by else ""
        )
    said = [f"{step.source}: {step.detail or step.outcome}" for step in report.steps]
    return "; ".join(said) or "it names no source"


def _not_installed(name: str) -> Explained:
    package = "sage-infer-host" if name == "cpu" else f"sage-infer-{name}"
    return Explained(
        hardware_backend=name,
        state="not installed",
        why=f"no detector for it is installed; pip install {package}",
    )
