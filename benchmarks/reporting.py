"""Results as text tables, and as JSON with every sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

import attrs

from benchmarks.pairing import MEASURES, Comparison, Estimate, Measure

FEW_PAIRS = 6
"""Below this many pairs an interval is little more than the range of what was seen."""


@attrs.frozen
class Target:
    """How much worse than the baseline is still accepted, as a share, and what the table calls it."""

    title: str
    tolerance: float


ADAPTER_TARGETS = (Target("target 1 %", 0.01), Target("promise 3 %", 0.03))
SERVER_TARGETS = (Target("target: level", 0.0),)
STARTUP_TARGET_S = 2.0


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Align columns: words to the left, figures to the right."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    left = [all(not row[column][:1].isdigit() for row in rows) for column in range(len(head))]
    lines = [
        "  ".join(
            cell.ljust(width) if is_left else cell.rjust(width)
            for cell, width, is_left in zip(row, widths, left, strict=True)
        ).rstrip()
        for row in [head, *rows]
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def settings_text(settings: Mapping[str, str]) -> str:
    """Return the head of a result."""
    width = max(map(len, settings))
    return "\n".join(f"{name.ljust(width)}  {value}" for name, value in settings.items())


def comparison_text(
    title: str, names: tuple[str, str], comparisons: Sequence[Comparison], targets: Sequence[Target]
) -> str:
    """Return the table of a part under load: a row per load and measure."""
    head = ["clients", "prompt", "measure", *names, "ratio", "95 %", *(target.title for target in targets)]
    rows = [_row(each, measure, targets) for each in comparisons for measure in MEASURES]
    pairs = min(len(each.ours) for each in comparisons)
    text = f"{title}: medians of {pairs} pairs; ratio is {names[0]} / {names[1]}\n{table(head, rows)}"
    return text + (f"\n{few_pairs(pairs)}" if pairs < FEW_PAIRS else "")


def few_pairs(pairs: int) -> str:
    """Return the warning that goes with few pairs."""
    return f"Only {pairs} pairs: the intervals say little more than the range; use at least {FEW_PAIRS}."


def _row(each: Comparison, measure: Measure, targets: Sequence[Target]) -> list[str]:
    ratio = each.ratio(measure)
    return [
        str(each.point.concurrency),
        str(each.point.prompt_tokens),
        f"{measure.name} {measure.unit}",
        *(f"{median(map(measure.of, rounds)):.2f}" for rounds in (each.ours, each.baseline)),
        f"{ratio.middle:.4f}",
        f"{ratio.low:.4f}-{ratio.high:.4f}",
        *(_verdict(ratio, measure, target) for target in targets),
    ]


def _verdict(ratio: Estimate, measure: Measure, target: Target) -> str:
    return ratio.verdict(lambda value: measure.accepts(value, target.tolerance), 1.0)


def startup_text(names: tuple[str, str], seconds: Sequence[tuple[float, float]]) -> str:
    """Return the table of start-up times and the verdict on their difference."""
    rows = [
        [str(turn), f"{ours:.2f}", f"{baseline:.2f}", f"{ours - baseline:+.2f}"]
        for turn, (ours, baseline) in enumerate(seconds, 1)
    ]
    extra = Estimate.of([ours - baseline for ours, baseline in seconds])
    verdict = extra.verdict(lambda value: value < STARTUP_TARGET_S, STARTUP_TARGET_S)
    return (
        f"startup: from process start to ready, in seconds, after one start of each that does not count\n"
        f"{table(['turn', *names, 'difference'], rows)}\n"
        f"median difference {extra.middle:+.2f} s ({extra.low:+.2f} to {extra.high:+.2f}); "
        f"target below {STARTUP_TARGET_S:.0f} s: {verdict}"
    )


def comparison_data(comparisons: Sequence[Comparison]) -> list[dict[str, object]]:
    """Return every sample and the estimates, for a JSON file."""
    return [
        {
            **attrs.asdict(each),
            "ratios": {measure.name: attrs.asdict(each.ratio(measure)) for measure in MEASURES},
        }
        for each in comparisons
    ]
