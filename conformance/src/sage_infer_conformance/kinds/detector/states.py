"""HD-01: the state that is reported, and what is known of the machine."""

from __future__ import annotations

from collections.abc import Iterable

from sage_infer_contracts.detection import DetectionReport

from ...judging.rules import Check, broken, check
from .edits import Edits, Fail, Unheard, Variable
from .model import DetectorModel
from .shown import Shown
from .steps import Detect, DetectorStep


def tells_the_state(model: DetectorModel, step: DetectorStep) -> Iterable[Check]:
    """HD-01: what the author knows of an undamaged machine is reported.

    Absent is not, where PCI still shows a device of its own, where all that happened is that sources failed, or where
    nothing is known; nor is present without a reason, where a command failed half-way and cost devices.
    """
    if not isinstance(step.command, Detect):
        return
    whole = step.looks_at_the_whole and model.loaded is not None
    if step.error is not None and whole:
        yield broken(f"of an undamaged machine it reports nothing, but raises {step.error}")
    if step.seen is not None and step.seen.returned is not None:
        yield broken(f"a {step.seen.returned} is returned, which is no report")
    report = step.report
    if report is None:
        return
    if whole and model.loaded is not None:
        yield from _as_the_author_knows(model, report)
    why = _why_not_absent(model, step, model.after(step.command.edits))
    if why is not None:
        yield check(report.state != "absent", f"absent is reported, and {why}")
    yield from _says_what_is_lost(model, step.command.edits, report)


def _as_the_author_knows(model: DetectorModel, report: DetectionReport) -> Iterable[Check]:
    machine = model.loaded
    if machine is None:
        return
    if machine.state is not None:
        says = f"{machine.name} is {machine.state}, and {report.state} is reported"
        yield check(report.state == machine.state, says)
    if machine.devices is not None:
        found = len(report.accelerators)
        says = f"{machine.name} has {machine.devices} devices, and {found} are reported"
        yield check(found >= machine.devices, says)


def _why_not_absent(model: DetectorModel, step: DetectorStep, shown: Shown) -> str | None:
    """Say why absence cannot be known; None where it may be."""
    edits = step.edits
    asked = step.seen.asked if step.seen is not None else ()
    if shown.shows_nothing:
        if shown.recording.pci is None and not shown.bare and asked:
            return "nothing is known of the machine" if shown.any_command is None else "its tools fail"
        return None
    before = model.whole.report.state if model.whole is not None and model.whole.report is not None else None
    if before == "absent" or (model.loaded is not None and model.loaded.state == "absent"):
        return None
    hidden = any(isinstance(edit, Variable) and edit.value is not None for edit in edits)
    own = model.own_devices(shown)
    if own and not hidden and (before is not None or model.loaded is None):
        return f"its own device {own[0].bdf} is there"
    failing = edits and all(isinstance(edit, Fail | Unheard) for edit in edits)
    if failing and before is not None:
        return f"the machine is {before}, and all that happened is: {edits[0].story()}"
    return None


def _says_what_is_lost(model: DetectorModel, edits: Edits, report: DetectionReport) -> Iterable[Check]:
    """A command that failed half-way and cost devices, which PCI still shows, leaves no machine simply present."""
    failed = [edit for edit in edits if isinstance(edit, Fail) and edit.keep_percent]
    others = [edit for edit in edits if not isinstance(edit, Fail)]
    if not failed or others or model.whole is None or model.whole.report is None:
        return
    bdfs = {one.ids.bdf for one in report.accelerators}
    there = {device.bdf for device in model.shown.pci()}
    lost = [one.ids.bdf for one in model.whole.report.accelerators if one.ids.bdf in there - bdfs]
    says = f"present is reported without a reason; {failed[0].source} failed half-way, and {lost} are not reported"
    told = report.state != "present" or report.reason
    yield check(not lost or bool(told), says)
