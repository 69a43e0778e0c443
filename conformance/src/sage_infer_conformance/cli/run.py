"""``run``: judge one subject, and write down what was found."""

from __future__ import annotations

import random
from pathlib import Path
from typing import get_args

import attrs
import click

from sage_infer_contracts.certification import ConformanceReport, Mode
from sage_infer_contracts.testing import SubjectKind

from ..api import examine
from ..reports.terminal import print_report
from ..reports.writing import write_reports
from ..running.names import FullName, read_setting
from ..running.session import Order
from .exits import HELD, NOT_HELD
from .options import (
    deviations_option,
    device_option,
    json_option,
    kind_option,
    out_option,
    rules_option,
    settings_option,
)
from .progress import ProgressLine

_SOAK_S = 300.0
_MODES = "develop stops at the first broken rule and shrinks; certify collects all; soak goes on for a time."


@click.command("run", short_help="Judge a plugin, a module:attribute or a ./file.py:attribute.")
@click.argument("name")
@kind_option
@click.option("--mode", type=click.Choice(get_args(Mode)), default="certify", show_default=True, help=_MODES)
@click.option(
    "--seed", type=click.IntRange(min=0), help="Same seed, same verdicts and counts.  [0; soak: random]"
)
@click.option("--seconds", type=click.FloatRange(min=1), help=f"How long mode soak takes.  [{_SOAK_S:g}]")
@click.option(
    "--corpus",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where mode soak keeps the histories that break a rule; those that are there are replayed first.",
)
@device_option
@settings_option
@rules_option
@deviations_option
@out_option
@json_option
def run(
    name: str,
    kind: SubjectKind | None,
    mode: Mode,
    seed: int | None,
    seconds: float | None,
    corpus: Path | None,
    device: str | None,
    settings: tuple[str, ...],
    rules: tuple[str, ...],
    deviations: Path | None,
    folder: Path | None,
    as_json: bool,
) -> None:
    """Judge NAME: a plugin, DISTRIBUTION:NAME, module:attribute or ./file.py:attribute."""
    if mode != "soak" and (seconds is not None or corpus is not None):
        raise click.UsageError("--seconds and --corpus are for --mode soak")
    order = Order(
        subject=full_name(name, device, settings),
        kind=kind,
        mode=mode,
        seed=seed if seed is not None else _default_seed(mode),
        rules=rules,
        seconds=(seconds or _SOAK_S) if mode == "soak" else None,
    )
    with ProgressLine() as progress:
        report = examine(order, deviations=deviations, corpus=corpus, progress=progress)
    deliver(report, folder, as_json)


def full_name(name: str, device: str | None, settings: tuple[str, ...]) -> str:
    """Return the name of a subject together with what it is to be made with."""
    full = FullName.read(name)
    options = {**full.options, **dict(map(read_setting, settings))}
    return str(attrs.evolve(full, options=options, device=device or full.device))


def deliver(report: ConformanceReport, folder: Path | None, as_json: bool) -> None:
    """Print and write the report, and end with the exit code that it asks for."""
    written = write_reports(report, folder) if folder is not None else []
    if as_json:
        click.echo(report.model_dump_json(indent=2))
    else:
        print_report(report)
        for path in written:
            click.echo(f"wrote {path}")
    raise click.exceptions.Exit(HELD if report.passed else NOT_HELD)


def _default_seed(mode: Mode) -> int:
    return random.SystemRandom().getrandbits(32) if mode == "soak" else 0
