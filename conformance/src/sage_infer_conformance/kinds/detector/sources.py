"""HD-06: where figures come from, and that unknown is null."""

from __future__ import annotations

import math
from collections.abc import Iterable

from sage_infer_contracts.detection import DetectionReport
from sage_infer_contracts.devices import AcceleratorDescriptor, Figure

from ...judging.rules import HELD, Check, broken, check
from .edits import Edits, Numbers
from .figures import is_explained
from .model import DetectorModel
from .shown import Shown
from .steps import Detect, DetectorStep

_GUESSES = frozenset({"guess", "guessed", "estimate", "estimated", "assumed", "default"})
_EVASIONS = frozenset({"", "?", "-", "n/a", "none", "unknown", "tbd"}) | _GUESSES
_MEASURED = ("memory_total_bytes", "memory_used_bytes", "utilisation_percent")


def has_sources(model: DetectorModel, step: DetectorStep) -> Iterable[Check]:
    """HD-06: the report comes back from JSON; figures are numbers and have a source.

    Of nothing, nothing is known. A size or a load that is shown no more, since numbers were blanked or changed, is
    reported no more, nor is 0 in its place.
    """
    if step.seen is None or not isinstance(step.command, Detect):
        return
    if step.seen.round_trip is not None:
        yield broken(f"the report is not the same after JSON: {step.seen.round_trip}")
    report = step.report
    if report is None:
        return
    yield HELD
    for name, figure in _figures(report):
        says = f"{name} {figure.value} {figure.unit} has no source but {figure.source!r}"
        yield check(figure.source.strip().lower() not in _EVASIONS, says)
        yield check(math.isfinite(figure.value), f"{name} is {figure.value}: unknown is null")
    shown = model.after(step.edits)
    if shown.shows_nothing:
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
