"""``sage infer backend show``: what a platform's recipe says: engines, refusals, KV constraints, transport."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from sage_infer_contracts.kinds import PluginKind

from .tables import print_table

if TYPE_CHECKING:
    from sage_infer_contracts.constraints import KVConstraints, TransportChoice
    from sage_infer_contracts.launch import BackendRecipe, Refusal


@click.command("show")
@click.argument("name")
@click.option("--embedding", is_flag=True, help="NAME is a backend for embeddings.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show_backend(name: str, embedding: bool, as_json: bool) -> None:
    """Show what the backend NAME (or DIST:NAME) says of itself: its engines, and what its platform refuses and needs.

    Its entry module is imported; no engine is, and nothing is started.
    """
    from sage_infer.plugins import default_registry
    from sage_infer_contracts.launch import BackendRecipe

    kind = PluginKind.EMBEDDING if embedding else PluginKind.BACKEND
    loaded = default_registry().load(kind, name)
    recipe = loaded.target if isinstance(loaded.target, BackendRecipe) else None
    if as_json:
        shown: dict[str, Any] = {**loaded.ref.model_dump(mode="json", exclude={"schema_version"})}
        shown["recipe"] = None if recipe is None else recipe.model_dump(mode="json")
        click.echo(json.dumps(shown))
    elif recipe is None:
        click.echo(
            f"{loaded.ref.name} ({loaded.ref.distribution} {loaded.ref.version}) is an engine of its own"
        )
    else:
        _print(recipe, f"{loaded.ref.distribution} {loaded.ref.version}")


def _print(recipe: BackendRecipe, owner: str) -> None:
    plan = recipe.launch_plan
    click.echo(f"{recipe.name} ({owner}) on {recipe.hardware}")
    click.echo(
        f"engines: {', '.join(recipe.engines)}; the first that is installed, or the option engine=NAME"
    )
    if recipe.device_runtime is not None:
        click.echo(f"device runtime: {recipe.device_runtime}")
    if plan is not None and plan.refusals:
        refused = ("refused", "on", "with", "because", "instead")
        print_table(refused, _refused(plan.refusals), title="\nrefused before anything starts")
    if recipe.kv_constraints:
        columns = ("block sizes", "dtypes", "swap", "engine", "on", "with", "source")
        print_table(columns, map(_constraints, recipe.kv_constraints), title="\nKV blocks")
    if recipe.transport is not None:
        print_table(("transport", ""), _transport(recipe.transport), title="")


def _refused(refusals: Sequence[Refusal]) -> Iterator[tuple[str, ...]]:
    """Yield a row for all settings that are refused for the same reason, where, and with the same way out."""
    settings: dict[tuple[str, str, str, str], list[str]] = {}
    for one in refusals:
        same = (", ".join(one.chips) or "all", _when(one.when.items()), one.reason, one.alternative)
        settings.setdefault(same, []).append(_setting(one))
    for same, names in settings.items():
        yield (", ".join(names), *same)


def _setting(refusal: Refusal) -> str:
    value = f"={refusal.value}" if refusal.value is not None else ""
    but = f" but {', '.join(refusal.allowed)}" if refusal.allowed and refusal.value is None else ""
    return f"{refusal.setting}{value}{but}"


def _constraints(one: KVConstraints) -> tuple[str, ...]:
    return (
        _listed(one.block_sizes),
        _listed(one.dtypes),
        {True: "yes", False: "no", None: "unknown"}[one.swap],
        one.engine or "all",
        ", ".join(one.chips) or "all",
        _when(one.when.items()),
        one.source,
    )


def _transport(choice: TransportChoice) -> list[tuple[str, str]]:
    said = choice.model_dump(mode="json")
    return [(name.replace("_", " "), str(value)) for name, value in said.items() if value not in (None, "")]


def _listed(values: Sequence[object] | None) -> str:
    return "unknown" if values is None else ", ".join(map(str, values))


def _when(settings: Any) -> str:
    return ", ".join(f"{name}={value}" for name, value in settings)
