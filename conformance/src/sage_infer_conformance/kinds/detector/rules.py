"""HD-01 to HD-07, each a pure function of the model and a step."""

from __future__ import annotations

import math
from collections.abc import Iterable

from sage_infer_contracts.detection import DetectionReport
from sage_infer_contracts.devices import AcceleratorDescriptor, Figure

from ...judging.rules import HELD, Check, Rule, Stated, broken, check
from .edits import Beside, Column, Edits, Fail, Localise, Numbers, Replace, Swell, Unheard, Variable
from .figures import is_explained
from .identities import as_known, no_new_names, no_twins, nobody_new, still_itself, well_formed
from .model import ACCELERATOR_CLASSES, DetectorModel
from .probes import DEADLINE_S
from .shown import Shown
from .steps import Detect, DetectorStep
from .visibility import honoured

_EVASIONS = frozenset(
    (
        "",
        "?",
        "-",
        "n/a",
        "none",
        "unknown",
        "guess",
        "guessed",
        "estimate",
        "estimated",
        "assumed",
        "default",
        "tbd",
    )
)
_MEASURED = ("memory_total_bytes", "memory_used_bytes", "utilisation_percent")


def _report(step: DetectorStep) -> DetectionReport | None:
    return step.seen.report if step.seen is not None and step.error is None else None


def _edits(step: DetectorStep) -> Edits:
    return step.command.edits if isinstance(step.command, Detect) else ()


def _is_whole(step: DetectorStep) -> bool:
    """Whether the machine is shown as it is, and answers at once."""
    command = step.command
    return isinstance(command, Detect) and not command.edits and not command.seconds_per_command


def tells_the_state(model: DetectorModel, step: DetectorStep) -> Iterable[Check]:
    """HD-01."""
    if not isinstance(step.command, Detect):
        return
    whole = _is_whole(step) and model.loaded is not None
    if step.error is not None and whole:
        yield broken(f"of an undamaged machine it reports nothing, but raises {step.error}")
    if step.seen is not None and step.seen.returned is not None:
        yield broken(f"a {step.seen.returned} is returned, which is no report")
    report = _report(step)
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
        yield check(
            report.state == machine.state,
            f"{machine.name} is {machine.state}, and {report.state} is reported",
        )
    if machine.devices is not None:
        found = len(report.accelerators)
        says = f"{machine.name} has {machine.devices} devices, and {found} are reported"
        yield check(found >= machine.devices, says)


def _why_not_absent(model: DetectorModel, step: DetectorStep, shown: Shown) -> str | None:
    """Say why absence cannot be known; None where it may be."""
    edits = _edits(step)
    asked = step.seen.asked if step.seen is not None else ()
    if _shows_nothing(shown):
        if shown.recording.pci is None and not shown.bare and any(source != "pci" for source in asked):
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


def _shows_nothing(shown: Shown) -> bool:
    """Whether there is no file, output or reply with any content, but perhaps tools that fail."""
    recording, command = shown.recording, shown.any_command
    if recording.files or recording.commands or recording.libraries or recording.directories or recording.pci:
        return False
    return (
        command is None or command.timed_out or (not command.stdout and command.exit_status not in (0, None))
    )


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
    yield check(not lost or report.state != "present", says)


def is_pure(model: DetectorModel, step: DetectorStep) -> Iterable[Check]:
    """HD-02."""
    if step.again is not None:
        for one in step.again:
            says = f"in another process step {one.step + 1} gives another report"
            yield check(one.report == model.reports.get(one.step, one.report), f"{says}{_shorten(one.error)}")
        return
    if not isinstance(step.command, Detect) or step.seen is None:
        return
    touched = step.seen.touched
    yield check(not touched, f"past its probe it reached for: {'; '.join(touched[:4])}")
    question = model.question(step.command)
    if question in model.said:
        yield check(model.said[question] == step.seen.report, "the same machine again gives another report")


def _shorten(error: str | None) -> str:
    return f" (it raises {error[:200]})" if error else ""


def claims_its_own(model: DetectorModel, step: DetectorStep) -> Iterable[Check]:
    """HD-03."""
    report = _report(step)
    if report is None or model.facts is None:
        return
    name = model.facts.hardware_backend
    said = {report.hardware_backend, *(one.hardware_backend for one in report.accelerators)}
    yield check(said == {name}, f"the detector of {name!r} reports devices of {sorted(said - {name})}")
    shown = model.after(_edits(step))
    by_bdf = {device.bdf: device for device in shown.pci()}
    for one in report.accelerators:
        device = by_bdf.get(one.ids.bdf or "")
        if device is not None:
            says = (
                f"{device.bdf} is claimed, a device of vendor {device.vendor} and class {device.device_class}"
            )
            yield check(not model.is_strange(device), says)
    yield from _none_of_its_own(model, shown, report)
    if _edits(step) and all(isinstance(edit, Beside) for edit in _edits(step)) and model.whole is not None:
        before = model.whole.report.accelerators if model.whole.report is not None else ()
        found = len(report.accelerators)
        says = f"{found} devices are reported with others' devices beside, and {len(before)} without"
        yield check(found <= len(before), says)


def _none_of_its_own(model: DetectorModel, shown: Shown, report: DetectionReport) -> Iterable[Check]:
    others = [device for device in shown.pci() if device.device_class[:2] in ACCELERATOR_CLASSES]
    if not model.vendors or not others or not all(model.is_strange(device) for device in shown.pci()):
        return
    says = f"PCI shows none of its devices but {others[0].bdf} of vendor {others[0].vendor}, and it reports"
    yield check(not report.accelerators, f"{says} {[one.name for one in report.accelerators]}")
    yield check(report.state != "present", f"{says} present")


def invents_nothing(model: DetectorModel, step: DetectorStep) -> Iterable[Check]:
    """HD-04."""
    if not isinstance(step.command, Detect):
        return
    edits = step.command.edits
    if step.error is not None:
        if step.error.fate != "hang":
            yield broken(f"it raises {step.error}")
        return
    report = _report(step)
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
    """HD-05."""
    report = _report(step)
    if report is None:
        return
    edits = _edits(step)
    yield from well_formed(report)
    if not edits:
        expected = model.loaded.ids if model.loaded is not None and _is_whole(step) else ()
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


def has_sources(model: DetectorModel, step: DetectorStep) -> Iterable[Check]:
    """HD-06."""
    if step.seen is None or not isinstance(step.command, Detect):
        return
    if step.seen.round_trip is not None:
        yield broken(f"the report is not the same after JSON: {step.seen.round_trip}")
    report = _report(step)
    if report is None:
        return
    yield HELD
    for name, figure in _figures(report):
        says = f"{name} {figure.value} {figure.unit} has no source but {figure.source!r}"
        yield check(figure.source.strip().lower() not in _EVASIONS, says)
        yield check(math.isfinite(figure.value), f"{name} is {figure.value}: unknown is null")
    shown = model.after(_edits(step))
    if _shows_nothing(shown):
        yield from _nothing_is_known(report)
    yield from _known_figures(model, step.command.edits, report, shown)


def _figures(report: DetectionReport) -> Iterable[tuple[str, Figure]]:
    for one in report.accelerators:
        yield from one.figures
    for link in report.links:
        yield from ((name, f) for name in ("bandwidth", "latency") if (f := getattr(link, name)) is not None)
    for tier in report.memory_tiers:
        for name in ("read_bandwidth", "write_bandwidth"):
            figure = getattr(tier, name)
            if figure is not None:
                yield f"{tier.name} {name}", figure


def _nothing_is_known(report: DetectionReport) -> Iterable[Check]:
    for name in ("accelerators", "links", "memory_tiers", "numa_nodes"):
        yield check(not getattr(report, name), f"{name} are reported of a machine of which nothing is known")
    yield check(report.host is None, "a host is reported of a machine of which nothing is known")


def _known_figures(
    model: DetectorModel, edits: Edits, report: DetectionReport, shown: Shown
) -> Iterable[Check]:
    """Unknown is null: nought is no size, and a number that is shown no more is not reported."""
    most = model.known.most_memory_bytes
    for one in report.accelerators:
        if most and one.memory_total_bytes is not None:
            yield check(one.memory_total_bytes > 0, f"{one.name} has 0 bytes of memory: unknown is null")
    changes = [edit for edit in edits if isinstance(edit, Numbers)]
    if not changes:
        return
    texts, spare = list(shown.texts().values()), changes[0].spare
    for one in report.accelerators:
        for name in _MEASURED:
            change = "smaller" if changes[0].by is None else f"{changes[0].by!r}"
            says = f"{one.name} has {name} {getattr(one, name)}, which is shown nowhere once numbers are {change}"
            yield check(_is_shown(model, one, name, changes[0], texts), says)
        for name, figure in one.figures:
            says = f"{name} {figure.value} is called measured and is shown nowhere"
            stale = figure.source.strip().lower() == "measured" and changes[0].by is not None
            yield check(not stale or is_explained(figure.value, texts, spare), says)


def _is_shown(
    model: DetectorModel, one: AcceleratorDescriptor, name: str, change: Numbers, texts: list[str]
) -> bool:
    value = getattr(one, name)
    if value is None:
        return True
    before = {getattr(other, name) for other in model.known.devices}
    if change.by is None and (not value or value not in before):
        return True  # it follows what is shown, in whatever way it is computed
    return is_explained(float(value), texts, change.spare)


def ends_in_time(_: DetectorModel, step: DetectorStep) -> Iterable[Check]:
    """HD-07."""
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
    Rule("HD-04", "sampled", 200, invents_nothing),
    Rule("HD-05", "sampled", 400, keeps_ids_apart),
    Rule("HD-06", "sampled", 400, has_sources),
    Rule("HD-07", "timed", 500, ends_in_time),
)
STATED: tuple[Stated, ...] = ()
