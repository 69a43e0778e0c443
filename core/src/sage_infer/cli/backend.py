"""``sage infer backend``: which inference backends are installed, and whether one really works."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sage_infer_contracts.kinds import PluginKind

from .backend_show import show_backend
from .options import load, model_options
from .tables import print_table

if TYPE_CHECKING:
    from sage_infer.plugins.catalog import PluginEntry

_KINDS = (PluginKind.BACKEND, PluginKind.EMBEDDING)


@click.group("backend")
def backend() -> None:
    """List, show and test inference backends."""


backend.add_command(show_backend)


@backend.command("list")
@click.option("--check", is_flag=True, help="Load each in a child process and say whether it works.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0.1),
    default=20.0,
    show_default=True,
    help="Seconds that one may take.",
)
@click.option("--names", "names_only", is_flag=True, help="List alone: look at no hardware, load nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_backends(check: bool, timeout_s: float, names_only: bool, as_json: bool) -> None:
    """List installed backends, whether each can run on this machine, and what is missing where it cannot.

    Hardware and plugins are looked at in processes of their own; none is started.
    """
    from sage_infer.plugins import Catalog

    entries = [entry for entry in Catalog.scan().entries if entry.kind in _KINDS]
    rows: list[dict[str, Any]] = [
        {
            "kind": entry.kind.value,
            "name": entry.name,
            "distribution": entry.distribution,
            "version": entry.version,
            "target": entry.target,
        }
        for entry in entries
    ]
    if not names_only and entries:
        _add_readiness(rows, entries, timeout_s)
    if check:
        from sage_infer.plugins.doctor import probe

        for row, findings in zip(rows, probe(entries, timeout_s=timeout_s), strict=True):
            problems = [finding.line.text for finding in findings if not finding.line.ok]
            row["check"] = {"ok": not problems, "problems": problems}
    if as_json:
        click.echo(json.dumps({"backends": rows}))
    elif rows:
        _print_list(rows, check=check)
    else:
        click.echo("no backend is installed; install an engine, for example sage-infer-torch")
    if any(not row["check"]["ok"] for row in rows if "check" in row):
        raise click.exceptions.Exit(1)


@backend.command("test")
@click.argument("name")
@model_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def test_backend(name: str, config: Path | None, as_json: bool, **options: Any) -> None:
    """Open the backend NAME with a model and put it through a short real exercise; exit status 1 if it fails."""
    from sage_infer.backends.exercise import exercise

    from .progress import StageReporter
    from .session import prepare

    if options["backend"] is not None:
        raise click.UsageError("the backend is the argument NAME; leave --backend out")
    settings = load(config, {**options, "backend": name}).settings
    prepared = prepare(settings, quiet=as_json)
    with StageReporter(quiet=as_json) as progress:
        results = asyncio.run(
            exercise(
                name,
                prepared.models[0].config,
                isolation=settings.inference.isolation,
                registry=prepared.registry,
                start_timeout_s=settings.worker.start_timeout_s,
                progress=progress,
            )
        )
    ok = all(result.ok is not False for result in results)
    if as_json:
        checks = [
            {"check": r.name, "ok": r.ok, "detail": r.detail, "seconds": round(r.seconds, 3)} for r in results
        ]
        click.echo(json.dumps({"backend": name, "model": prepared.model_id, "ok": ok, "checks": checks}))
    else:
        verdicts = {True: "ok", False: "FAILED", None: "not declared"}
        print_table(
            ("check", "result", "time", "detail"),
            ((r.name, verdicts[r.ok], f"{r.seconds:.2f} s", r.detail) for r in results),
            title=f"{name} with {prepared.model_id}",
        )
    if not ok:
        raise click.exceptions.Exit(1)


def _add_readiness(rows: list[dict[str, Any]], entries: Sequence[PluginEntry], timeout_s: float) -> None:
    from sage_infer.backends.readiness import readiness
    from sage_infer.hal import detect_hardware
    from sage_infer.plugins.registry import ref_of

    detection = detect_hardware(timeout_s=timeout_s)
    found = readiness([ref_of(entry) for entry in entries], detection, timeout_s=timeout_s)
    for row, one in zip(rows, found, strict=True):
        row |= {
            "hardware": one.hardware,
            "runs_here": one.ok,
            "missing": list(one.missing),
            "notes": list(one.notes),
        }


def _print_list(rows: list[dict[str, Any]], *, check: bool) -> None:
    def cells(row: dict[str, Any]) -> list[str]:
        shown = [row["name"], row["kind"], row["distribution"], row["version"]]
        if examined:
            lines = [*row["missing"], *(f"note: {note}" for note in row["notes"])]
            shown += [row["hardware"] or "", "yes" if row["runs_here"] else "no", "\n".join(lines)]
        if check:
            shown.append("ok" if row["check"]["ok"] else "; ".join(row["check"]["problems"]))
        return shown

    examined = any("runs_here" in row for row in rows)
    columns = ["name", "kind", "distribution", "version"]
    columns += [*(["hardware", "runs here", "missing"] if examined else []), *(["check"] if check else [])]
    print_table(columns, map(cells, rows))
