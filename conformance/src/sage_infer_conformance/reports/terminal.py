"""The report on a terminal: a table of clauses, then the story of each that does not pass."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from sage_infer_contracts.certification import ConformanceReport, Verdict

from .story import clause_story, stories
from .words import not_run, not_tested, said, subject_line, summary, text_of, written_options

if TYPE_CHECKING:
    from rich.console import Console

_PIPE_WIDTH = 160
_STYLES: dict[Verdict, str] = {
    "held": "green",
    "refused": "green",
    "stated": "dim",
    "not_run": "dim",
    "waived": "yellow",
    "thin": "yellow",
    "error": "bold red",
    "violated": "bold red",
}


def print_report(report: ConformanceReport) -> None:
    """Print the report to standard output."""
    from rich.console import Console
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH, highlight=False)

    def say(text: str, style: str = "") -> None:
        console.print(Text(text, style=style), soft_wrap=True)

    say(f"{subject_line(report)}, {_device(report)}, mode {report.profile.mode}, seed {report.seed}", "bold")
    if report.subject.options:
        say(f"made with {written_options(report.subject)}, on {report.subject.device}", "dim")
    _print_table(console, report)
    for line in not_run(report):
        say(f"not run: {line}", "dim")
    for line in not_tested(report):
        say(f"not tested: {line}", "dim")
    waived = [clause_story(result) for result in report.results if result.verdict == "waived"]
    for story in (*waived, *stories(report)):
        say(f"\n{story}")
    for problem in report.problems:
        say(f"\n{problem}", "bold red")
    say(f"\n{summary(report)}", "bold green" if report.passed else "bold red")
    played = f"{report.histories} histories, {report.steps} steps, {report.seconds:.1f} s"
    say(f"{played}. Again: {report.command}", "dim")


def _device(report: ConformanceReport) -> str:
    device = report.subject.device
    return f"{device}: no device took part" if device == "simulated" else f"on {device}"


def _print_table(console: Console, report: ConformanceReport) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for column in ("clause", "level", "verdict", "proof"):
        table.add_column(column, no_wrap=True)
    for column in ("evaluated", "floor"):
        table.add_column(column, no_wrap=True, justify="right")
    table.add_column("promise", overflow="fold")
    for result in report.results:
        if result.verdict == "not_run":
            continue  # told in one line below: a recipe has a clause of this kind for each of a backend's
        counts = (f"{result.evaluations:,}", f"{result.floor:,}") if result.proof != "stated" else ("", "")
        verdict = Text(said(result.verdict), style=_STYLES[result.verdict])
        table.add_row(
            result.clause, result.level, verdict, result.proof, *counts, Text(text_of(result.clause))
        )
    console.print(table)
