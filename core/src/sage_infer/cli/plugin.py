"""``sage infer plugin``: what is installed, what is wrong with it, and a start for a new one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sage_infer_contracts.kinds import PluginKind

from .tables import print_table

if TYPE_CHECKING:
    from sage_infer.plugins.catalog import PluginEntry, Problem
    from sage_infer.plugins.doctor import Finding
    from sage_infer.plugins.registry import Registry

_TIMEOUT_S = 20.0
# Names of templates; kept equal to sage_infer.plugins.scaffold.TEMPLATES by a test, so that --help imports nothing.
_NEW = ("backend", "embedding", "kv_tier", "eviction", "transport", "detector", "device", "model_source")

_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_timeout_option = click.option(
    "--timeout", "timeout_s", type=click.FloatRange(min=0.1), default=_TIMEOUT_S, show_default=True,
    help="Seconds that one plugin may take.",
)  # fmt: skip


@click.group("plugin")
def plugin() -> None:
    """List, inspect and scaffold plugins."""


@plugin.command("list")
@click.option("--kind", type=click.Choice([kind.value for kind in PluginKind]), help="Only this kind.")
@click.option("--check", is_flag=True, help="Load each plugin in a child process and say whether it works.")
@_timeout_option
@_json_option
def list_plugins(kind: str | None, check: bool, timeout_s: float, as_json: bool) -> None:
    """List installed plugins without importing any of them."""
    from sage_infer.plugins.catalog import Catalog

    catalog = _registry().catalog if check else Catalog.scan()
    entries = [entry for entry in catalog.entries if kind in (None, entry.kind.value)]
    problems = [problem for problem in catalog.problems if kind is None or problem.kind in (None, kind)]
    checks = _check(entries, timeout_s) if check else [None for _ in entries]
    if as_json:
        rows = [_entry_data(entry, verdict) for entry, verdict in zip(entries, checks, strict=True)]
        _print_json({"plugins": rows, "problems": [_problem_data(problem) for problem in problems]})
    else:
        _print_entries(entries, checks)
        _print_problems(problems)
    if any(verdict is not None and not verdict["ok"] for verdict in checks):
        raise click.exceptions.Exit(1)


@plugin.command("show")
@click.argument("name")
@click.option("--kind", type=click.Choice([kind.value for kind in PluginKind]), help="Only this kind.")
@_json_option
def show(name: str, kind: str | None, as_json: bool) -> None:
    """Show every plugin called NAME (or DIST:NAME), from its metadata."""
    from sage_infer.plugins.catalog import Catalog

    catalog = Catalog.scan()
    found = [e for e in catalog.entries if e.answers_to(name) and kind in (None, e.kind.value)]
    bare = name.rpartition(":")[2]
    problems = [p for p in catalog.problems if p.name == bare and kind in (None, p.kind)]
    if not found and not problems:
        from sage_infer_contracts.errors import PluginNotFound

        listed = ", ".join(sorted({entry.name for entry in catalog.entries})) or "none"
        raise PluginNotFound(f"no plugin is called {name!r}. Installed: {listed}", name=name)
    if as_json:
        rows = [{**_entry_data(entry, None), **_about(entry.distribution)} for entry in found]
        _print_json({"plugins": rows, "problems": [_problem_data(problem) for problem in problems]})
        return
    for entry in found:
        for field, value in {**_entry_data(entry, None), **_about(entry.distribution)}.items():
            click.echo(f"{field + ':':20}{value if value is not None else 'unknown'}")
        click.echo()
    _print_problems(problems)


@plugin.command("doctor")
@_timeout_option
@_json_option
def doctor(timeout_s: float, as_json: bool) -> None:
    """Load every plugin in a child process and judge it; exit status 1 if anything is wrong."""
    from sage_infer.plugins.doctor import examine

    report = examine(_registry(), timeout_s=timeout_s)
    if as_json:
        _print_json({"ok": report.ok, "findings": [_finding_data(finding) for finding in report.findings]})
    else:
        _print_findings(report.findings)
    if not report.ok:
        raise click.exceptions.Exit(1)


@plugin.command("new")
@click.argument("kind", type=click.Choice(_NEW))
@click.argument("name")
@click.option("--path", "folder", type=click.Path(path_type=Path), help="Where to write it.")
@_json_option
def new(kind: str, name: str, folder: Path | None, as_json: bool) -> None:
    """Write the package of a new plugin called NAME that installs, lists and runs."""
    from sage_infer.plugins.scaffold import create_plugin

    written = create_plugin(kind, name, folder)
    if as_json:
        _print_json({"path": str(written)})
        return
    click.echo(f"wrote {written}\nnext: pip install -e {written} && sage infer plugin show {name}")


def _registry() -> Registry:
    from sage_infer.plugins.registry import default_registry

    return default_registry()


def _check(entries: Sequence[PluginEntry], timeout_s: float) -> list[dict[str, Any] | None]:
    from sage_infer.plugins.doctor import probe

    verdicts: list[dict[str, Any] | None] = []
    for findings in probe(entries, timeout_s=timeout_s):
        bad = [finding.line.text for finding in findings if not finding.line.ok]
        verdicts.append({"ok": not bad, "problems": bad})
    return verdicts


def _entry_data(entry: PluginEntry, verdict: dict[str, Any] | None) -> dict[str, Any]:
    data: dict[str, Any] = {
        "kind": entry.kind.value,
        "name": entry.name,
        "distribution": entry.distribution,
        "version": entry.version,
        "target": entry.target,
        "requires_contract": entry.requires_contract,
    }
    return data if verdict is None else {**data, "check": verdict}


def _about(distribution: str) -> dict[str, Any]:
    from importlib.metadata import metadata

    headers = metadata(distribution)
    fields = {"summary": ("Summary",), "license": ("License-Expression", "License")}
    return {
        field: next((headers[name] for name in names if name in headers), None)
        for field, names in fields.items()
    }


def _problem_data(problem: Problem) -> dict[str, Any]:
    kind = None if problem.kind is None else problem.kind.value
    fields = {"code": problem.code, "message": problem.message, "kind": kind}
    return {**fields, "name": problem.name, "distribution": problem.distribution}


def _finding_data(finding: Finding) -> dict[str, Any]:
    return {"plugin": finding.plugin, "kind": finding.kind, **finding.line.model_dump(mode="json")}


def _print_json(data: object) -> None:
    click.echo(json.dumps(data, indent=2, ensure_ascii=False))


def _print_problems(problems: Sequence[Problem]) -> None:
    for problem in problems:
        click.echo(f"problem: {problem.message}", err=True)


def _print_entries(entries: Sequence[PluginEntry], checks: Sequence[dict[str, Any] | None]) -> None:
    if not entries:
        click.echo("no plugin is installed")
        return
    columns = ["kind", "name", "distribution", "version", "needs contracts"]
    rows = [[e.kind.value, e.name, e.distribution, e.version, e.requires_contract or "-"] for e in entries]
    if any(verdict is not None for verdict in checks):
        columns.append("check")
        for row, verdict in zip(rows, checks, strict=True):
            if verdict is not None:
                row.append("ok" if verdict["ok"] else "; ".join(verdict["problems"]))
    print_table(columns, rows)


def _print_findings(findings: Sequence[Finding]) -> None:
    if not findings:
        click.echo("no plugin is installed")
        return
    print_table(("", "plugin", "finding"), map(_finding_row, findings))


def _finding_row(finding: Finding) -> tuple[str, str, str]:
    line = finding.line
    text = line.text if line.fix is None else f"{line.text}\n-> {line.fix}"
    return "ok" if line.ok else "BAD", finding.plugin or "-", text
