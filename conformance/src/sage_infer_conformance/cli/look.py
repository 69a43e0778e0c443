"""``list`` and ``explain``: what can be judged, and how a clause is."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click

from sage_infer_contracts.clauses import CLAUSES
from sage_infer_contracts.errors import InvalidRequest

from ..catalogue import Entry, catalogue, how_judged, looks_at, mutants_of
from ..kinds.table import MODULES, suite_of
from ..reports.words import PROOFS
from ..running.subjects import list_entry_points


@click.command("list", short_help="List what can be judged here.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_subjects(as_json: bool) -> None:
    """List what can be judged: installed plugins, and the kinds. Imports no plugin."""
    subjects = [
        {
            "name": name,
            "kind": kind,
            "target": point.value,
            "distribution": point.dist.name if point.dist is not None else None,
        }
        for name, kind, point in list_entry_points()
    ]
    kinds = [_kind_facts(kind) for kind in MODULES]
    if as_json:
        click.echo(json.dumps({"subjects": subjects, "kinds": kinds}, indent=2))
        return
    rows = [
        (str(s["name"]), s["kind"] or "as it says", str(s["target"]), s["distribution"] or "")
        for s in subjects
    ]
    _print_columns(("name", "kind", "where", "distribution"), rows or [("nothing installed", "", "", "")])
    click.echo()
    _print_columns(
        ("kind", "clauses", "scenarios"), [(k["kind"], k["clauses"], k["scenarios"]) for k in kinds]
    )
    click.echo("\nAnything else is named as module:attribute or ./file.py:attribute.")


def _kind_facts(kind: str) -> dict[str, str]:
    suite = suite_of(kind)  # type: ignore[arg-type]  # it is a key of the table
    clauses = dict.fromkeys([*(rule.clause for rule in suite.rules), *(item.clause for item in suite.stated)])
    scenarios = ", ".join(scenario.name for scenario in suite.scenarios)
    return {"kind": kind, "clauses": " ".join(clauses), "scenarios": scenarios}


def _print_columns(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    for row in [head, *rows]:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@click.command("explain", short_help="Explain a clause, and how it is judged.")
@click.argument("clause", metavar="ID")
def explain(clause: str) -> None:
    """Explain the clause ID: what it says, how it is judged, and which broken plugins prove the rule."""
    found = catalogue().get(clause.upper())
    if found is None:
        raise InvalidRequest(f"{clause} is no clause; there are {', '.join(CLAUSES)}", param="id")
    click.echo("\n".join(_explanation(found)))


def _explanation(entry: Entry) -> list[str]:
    clause = entry.clause
    binds = f"who declares {clause.capability}" if clause.capability is not None else "always"
    lines = [
        f"{clause.id}  {clause.subject}, {clause.level}, since {clause.since}",
        f"  {clause.text}",
        "",
        f"  binds      {binds}",
    ]
    for kind, rule in entry.rules:
        lines += [
            "",
            f"  judged in  {kind}, at {looks_at(rule)}",
            f"  proof      {rule.proof}: {PROOFS[rule.proof]}",
            f"  floor      {rule.floor} evaluations; below it nothing is claimed",
            *([f"  how        {how_judged(rule)}"] if how_judged(rule) else []),
        ]
    for kind, item in entry.stated:
        lines += ["", f"  not tested in {kind}: {item.reason}"]
    proving = mutants_of(clause.id)
    if proving:
        lines += ["", "  broken plugins that this rule catches:"]
        lines += [f"    {mutant.name} ({kind}): {mutant.fault}" for kind, mutant in proving]
    return lines
