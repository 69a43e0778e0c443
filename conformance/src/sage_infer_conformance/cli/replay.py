"""``replay``: carry out again what broke a clause, in a fresh process, and say whether it still does."""

from __future__ import annotations

from pathlib import Path

import click
from pydantic import ValidationError

from sage_infer_contracts.certification import ClauseResult, ConformanceReport
from sage_infer_contracts.errors import InvalidRequest

from ..history.files import History, parse_histories
from ..reports.story import clause_story
from ..running import replay as replaying
from .exits import HELD, NOT_HELD
from .options import file_argument


@click.command("replay", short_help="Carry out again what broke a clause.")
@file_argument
@click.option("--subject", metavar="NAME", help="Judge this subject instead of the one that the file names.")
def replay(file: Path, subject: str | None) -> None:
    """Carry out the history in FILE again: a witness (JSON lines), or every witness of a report.json.

    Exit status 0 where nothing is broken any more, 1 where something is.
    """
    broken = 0
    for title, histories in _recordings(file):
        docket = replaying.replay(histories, subject)
        results = docket.results(floors=False)
        found = [result for result in results if result.verdict in ("violated", "error")]
        broken += bool(found)
        _tell(title, docket.steps, found)
    raise click.exceptions.Exit(NOT_HELD if broken else HELD)


def _recordings(file: Path) -> list[tuple[str, list[History]]]:
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{file} cannot be read: {error}", param="file") from error
    try:
        report = ConformanceReport.model_validate_json(text)
    except ValidationError:
        return [(str(file), list(parse_histories(text.splitlines(), str(file))))]
    shown = {result.clause: result.witness for result in report.results if result.witness is not None}
    for clause, witness in shown.items():
        if not witness.history:
            click.echo(f"{clause}: no history shows it, so it cannot be replayed: {witness.says}")
    found = [(clause, witness.history) for clause, witness in shown.items() if witness.history]
    if not found:
        raise InvalidRequest(
            f"{file} is a report without a history: there is nothing to replay", param="file"
        )
    return [(clause, list(parse_histories(lines, f"{file}, witness of {clause}"))) for clause, lines in found]


def _tell(title: str, steps: int, found: list[ClauseResult]) -> None:
    if not found:
        click.echo(f"{title}: nothing is broken any more, in {steps} steps")
        return
    click.echo(f"{title}: broken, in {steps} steps")
    for result in found:
        click.echo(f"\n{clause_story(result)}\n")
