"""``judge``: what the rules say of a history that was recorded in production. No subject is needed."""

from __future__ import annotations

from pathlib import Path

import click

from sage_infer_contracts.certification import ClauseResult
from sage_infer_contracts.testing import SubjectKind

from ..history.files import read_histories
from ..reports.story import clause_story
from ..running.replay import judge_recorded
from .exits import HELD, NOT_HELD
from .options import file_argument, kind_option


@click.command("judge", short_help="Judge histories that were recorded in production.")
@file_argument
@kind_option
@click.option("--json", "as_json", is_flag=True, help="Print the verdicts as JSON lines.")
def judge(file: Path, kind: SubjectKind | None, as_json: bool) -> None:
    """Judge the histories recorded in FILE, JSON lines, as they are; nothing is carried out.

    Exit status 1 where a clause is broken, or where no clause could be judged at all.
    """
    docket = judge_recorded(list(read_histories(file, kind)))
    results = docket.results(floors=False)
    if as_json:
        for result in results:
            click.echo(result.model_dump_json())
    else:
        _tell(file, docket.histories, docket.steps, results)
    broken = any(result.verdict in ("violated", "error") for result in results)
    judged = any(result.evaluations for result in results)
    raise click.exceptions.Exit(HELD if judged and not broken else NOT_HELD)


def _tell(file: Path, histories: int, steps: int, results: tuple[ClauseResult, ...]) -> None:
    click.echo(f"{file}: {histories} histories, {steps} steps")
    for result in results:
        verdict = {"thin": "not seen"}.get(result.verdict, result.verdict)
        click.echo(f"  {result.clause}  {verdict:9} {result.evaluations:>8,} evaluations")
    for result in results:
        if result.verdict in ("violated", "error"):
            click.echo(f"\n{clause_story(result)}")
