"""HD-01 to HD-07, each a pure function of the model and a step."""

from __future__ import annotations

from collections.abc import Iterable

from sage_infer_contracts.detection import DetectionReport
from sage_infer_contracts.probe import PciDevice

from ...judging.rules import Check, Rule, Stated, broken, check
from .edits import Beside, Column, Localise, Numbers, Replace, Swell, Variable
from .identities import as_known, no_new_names, no_twins, nobody_new, still_itself, well_formed
from .model import ACCELERATOR_CLASSES, DetectorModel
from .probes import DEADLINE_S
from .shown import Shown
from .sources import has_sources
from .states import tells_the_state
from .steps import Detect, DetectorStep
from .visibility import honoured


def is_pure(model: DetectorModel, step: DetectorStep) -> Iterable[Check]:
    """HD-02: the same machine gives the same report, again, later, and in another process and environment.

    Nothing is reached for past the probe: files, processes, libraries, and frameworks that are imported.
    """
    if step.again is not None:
        for one in step.again:
            says = f"in another process step {one.step + 1} gives another report"
            yield check(
                _same(one.report, model.reports.get(one.step, one.report)), f"{says}{_shorten(one.error)}"
            )
        return
    if not isinstance(step.command, Detect) or step.seen is None:
        return
    touched = step.seen.touched
    yield check(not touched, f"past its probe it reached for: {'; '.join(touched[:4])}")
    question = model.question(step.command)
    if question in model.said:
        yield check(
            _same(model.said[question], step.seen.report), "the same machine again gives another report"
        )


def _same(one: DetectionReport | None, other: DetectionReport | None) -> bool:
    """Compare as JSON, in which a figure that is not a number is equal to itself."""
    if one is None or other is None:
        return one is other
    return one == other or one.model_dump_json() == other.model_dump_json()


def _shorten(error: str | None) -> str:
    return f" (it raises {error[:200]})" if error else ""


def claims_its_own(model: DetectorModel, step: DetectorStep) -> Iterable[Check]:
    """HD-03: what is reported is under its own name, and has no PCI function of another vendor or another class.

    Where PCI shows others' devices and none of its own, nothing is claimed, whatever its tool prints.
    """
    report = step.report
    if report is None or model.facts is None:
        return
    name = model.facts.hardware_backend
    said = {report.hardware_backend, *(one.hardware_backend for one in report.accelerators)}
    yield check(said == {name}, f"the detector of {name!r} reports devices of {sorted(said - {name})}")
    shown = model.after(step.edits)
    by_bdf = {device.bdf: device for device in shown.pci()}
    for one in report.accelerators:
        device = by_bdf.get(one.ids.bdf or "")
        if device is not None:
            says = f"{device.bdf} is claimed, of vendor {device.vendor} and class {device.device_class}"
            yield check(not model.is_strange(device), f"{says}{_advice(model, device)}")
    yield from _none_of_its_own(model, shown, report)
    if step.edits and all(isinstance(edit, Beside) for edit in step.edits) and model.whole is not None:
        before = model.whole.report.accelerators if model.whole.report is not None else ()
        found = len(report.accelerators)
        says = f"{found} devices are reported with others' devices beside, and {len(before)} without"
        yield check(found <= len(before), says)


def _advice(model: DetectorModel, device: PciDevice) -> str:
    """Say what an author can do whose accelerators are of a class that few have."""
    told = model.facts is not None and (device.vendor not in model.vendors or model.facts.pci_classes)
    return (
        "" if told else "; if that is a class of its accelerators, name it in the subject's fact pci_classes"
    )


def _none_of_its_own(model: DetectorModel, shown: Shown, report: DetectionReport) -> Iterable[Check]:
    classes = (*ACCELERATOR_CLASSES, *model.classes)
    foreign = [device for device in shown.pci() if device.vendor not in model.vendors]
    others = [device for device in foreign if device.device_class.startswith(classes)]
    if not model.vendors or not others or not all(model.is_strange(device) for device in shown.pci()):
        return
    says = f"PCI shows none of its devices but {others[0].bdf} of vendor {others[0].vendor}, and it reports"
    yield check(not report.accelerators, f"{says} {[one.name for one in report.accelerators]}")
    yield check(report.state != "present", f"{says} present")


def invents_nothing(model: DetectorModel, step: DetectorStep) -> Iterable[Check]:
    """HD-04: nothing raises, and damage tells no more than the undamaged sources, each of them, and their absence.

    That holds for the number of devices, UUIDs, addresses, names that are pieces of output, and sizes of memory.
    """
    if not isinstance(step.command, Detect):
        return
    edits = step.command.edits
    if step.error is not None:
        if step.error.fate != "hang":
            yield broken(f"it raises {step.error}")
        return
    report = step.report
    if report is None:
        return
    shown = model.after(edits)
    if not edits:
        yield from _no_more_than_there_are(model, report, shown)
        return
    if model.whole is None:
        return
    yield from nobody_new(model, report, edits)
    if model.is_compared(edits) and not all(edit.clean for edit in edits):
        if not any(isinstance(edit, Replace | Swell) for edit in edits):
            yield from no_new_names(model.known, report, shown, edits)
        most = model.known.most_memory_bytes
        for one in report.accelerators:
            says = (
                f"{one.name} has {one.memory_total_bytes} bytes, where undamaged sources show at most {most}"
            )
            yield check(not most or (one.memory_total_bytes or 0) <= most, says)


def _no_more_than_there_are(model: DetectorModel, report: DetectionReport, shown: Shown) -> Iterable[Check]:
    found = len(report.accelerators)
    if model.loaded is not None and model.loaded.devices is not None:
        most = model.loaded.devices
        yield check(found <= most, f"{model.loaded.name} has {most} devices, and {found} are reported")
    recording = shown.recording
    told = recording.files or recording.commands or recording.libraries or model.own_devices(shown)
    if model.loaded is None and not told and all(map(model.is_strange, shown.pci())):
        yield check(not found, f"{found} devices are reported of a machine that shows none")


def keeps_ids_apart(model: DetectorModel, step: DetectorStep) -> Iterable[Check]:
    """HD-05: ids are those the author knows, stay with their device, and are not shared by two.

    With a variable of visible devices set to a list that means the same to any runtime, just those are visible.
    """
    report = step.report
    if report is None:
        return
    edits = step.edits
    yield from well_formed(report)
    if not edits:
        expected = model.loaded.ids if model.loaded is not None and step.looks_at_the_whole else ()
        yield from as_known(expected, report)
    if not any(edit.lossy or isinstance(edit, Column | Localise | Numbers | Replace) for edit in edits):
        yield from no_twins(report)
        if edits and model.whole is not None:
            yield from still_itself(model.known, report)
    set_ones = [edit for edit in edits if isinstance(edit, Variable) and edit.value is not None]
    restricted = len(set_ones) == 1 and all(isinstance(edit, Variable) for edit in edits)
    facts, before = model.facts, model.unrestricted
    if (
        restricted
        and facts is not None
        and before is not None
        and set_ones[0].name in facts.visible_variables
    ):
        yield from honoured(facts, before, set_ones[0].value or "", report)


def ends_in_time(_: DetectorModel, step: DetectorStep) -> Iterable[Check]:
    """HD-07: it ends within 30 s, pauses and slow commands included, and with much output."""
    if step.error is not None and step.error.fate == "hang":
        yield broken(f"it does not end: {step.error.message}")
    elif step.seen is not None:
        took = step.seconds + step.seen.simulated_s
        yield check(
            not step.seen.endless, f"it still asks or waits after {step.seen.simulated_s:.0f} s and more"
        )
        yield check(took <= DEADLINE_S, f"it takes {took:.1f} s; its deadline is {DEADLINE_S:g} s")


RULES = (
    Rule("HD-01", "sampled", 60, tells_the_state),
    Rule("HD-02", "sampled", 400, is_pure),
    Rule("HD-03", "sampled", 400, claims_its_own),
    Rule("HD-04", "sampled", 300, invents_nothing),
    Rule("HD-05", "sampled", 400, keeps_ids_apart),
    Rule("HD-06", "sampled", 400, has_sources),
    Rule("HD-07", "timed", 500, ends_in_time),
)
STATED: tuple[Stated, ...] = ()
