"""``verify``: run again what a certificate or a report claims, and compare."""

from __future__ import annotations

from pathlib import Path

import attrs
import click
from pydantic import ValidationError

from sage_infer_contracts.certification import Certificate, ConformanceReport
from sage_infer_contracts.errors import InvalidRequest

from ..api import examine
from ..reports.comparison import compare
from ..running.names import FullName
from ..running.session import Order
from .exits import HELD, NOT_HELD
from .options import deviations_option, file_argument
from .progress import ProgressLine


@click.command("verify", short_help="Run again what a certificate or a report claims.")
@file_argument
@click.option("--subject", metavar="NAME", help="Judge this subject instead of the one that the file names.")
@deviations_option
def verify(file: Path, subject: str | None, deviations: Path | None) -> None:
    """Run again what FILE claims, a certificate.json or a report.json, with its seed, and compare.

    Verdicts and counts must be the same. Differing versions are told, and are no failure by themselves.
    """
    claim = read_claim(file)
    kept = Path(claim.profile.deviations) if claim.profile.deviations is not None else None
    with ProgressLine() as progress:
        found = examine(order_of(claim, subject), deviations=deviations or kept, progress=progress)
    comparison = compare(claim, found)
    for line in comparison.notes:
        click.echo(f"note: {line}")
    for line in comparison.differences:
        click.echo(f"differs: {line}")
    if comparison.differences:
        click.echo(f"{file} is not confirmed: {len(comparison.differences)} differences")
        raise click.exceptions.Exit(NOT_HELD)
    click.echo(f"{file} is confirmed: the same verdicts and counts for {len(claim.results)} clauses")
    raise click.exceptions.Exit(HELD)


def read_claim(file: Path) -> Certificate | ConformanceReport:
    """Read a certificate or a report; raises ``InvalidRequest`` for anything else."""
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{file} cannot be read: {error}", param="file") from error
    problem = ""
    for model in (Certificate, ConformanceReport):
        try:
            return model.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            problem = f"{'.'.join(map(str, first['loc'])) or 'it'}: {first['msg']}"
    raise InvalidRequest(f"{file} is neither a certificate nor a report ({problem})", param="file")


def order_of(claim: Certificate | ConformanceReport, subject: str | None = None) -> Order:
    """Return the order that leads to the same run; raises ``InvalidRequest`` where nothing does."""
    if claim.profile.mode != "certify":
        says = f"mode {claim.profile.mode} ends by the clock, so its counts cannot be compared; verify a certificate"
        raise InvalidRequest(says, param="file")
    name = FullName.read(subject or claim.subject.name)
    return Order(
        subject=str(attrs.evolve(name, kind=claim.subject.kind)),
        mode=claim.profile.mode,
        seed=claim.seed,
        rules=claim.profile.rules,
    )
