"""The report on a terminal: a table of clauses, then the story of each that does not pass."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from sage_infer_contracts.certification import ConformanceReport, Verdict

from .story import clause_story
from .words import evaluations, subject_line, summary, text_of

if TYPE_CHECKING:
    from rich.console import Console

_PIPE_WIDTH = 160
_STYLES: dict[Verdict, str] = {
    "held": "green",
    "refused": "green",
    "stated": "dim",
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
    console.print(
        Text(f"{subject_line(report)}, mode {report.profile.mode}, seed {report.seed}", style="bold")
    )
    _print_table(console, report)
    for result in report.results:
        if not result.passes or result.verdict == "waived":
            console.print(Text(f"\n{clause_story(result)}"), soft_wrap=True)
    for problem in report.problems:
        console.print(Text(f"\n{problem}", style="bold red"), soft_wrap=True)
    console.print(
        Text(f"\n{summary(report)}", style="bold green" if report.passed else "bold red"), soft_wrap=True
    )
    played = f"{report.histories} histories, {report.steps} steps, {report.seconds:.1f} s"
    console.print(Text(f"{played}. Again: {report.command}", style="dim"), soft_wrap=True)


def _print_table(console: Console, report: ConformanceReport) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for column in ("clause", "level", "verdict", "proof", "evaluated"):
        table.add_column(column, no_wrap=True)
    table.add_column("promise", overflow="fold")
    for result in report.results:
        promise = result.reason if result.verdict == "stated" and result.reason else text_of(result.clause)
        verdict = Text(result.verdict, style=_STYLES[result.verdict])
        row = (result.clause, result.level, verdict, result.proof, evaluations(result), Text(promise))
        table.add_row(*row)
    console.print(table)
