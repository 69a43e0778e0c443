"""``sage infer schema``: the JSON Schema of any type that travels as data."""

from __future__ import annotations

import difflib
import json

import click


@click.group("schema")
def schema() -> None:
    """Print the JSON Schema of any contract type."""


@schema.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def list_schemas(as_json: bool) -> None:
    """Name the types that `schema dump` knows, with what each is."""
    from sage_infer_contracts.schemas import SCHEMAS

    if as_json:
        click.echo(json.dumps(list(SCHEMAS)))
        return
    width = max(map(len, SCHEMAS))
    for name, model in SCHEMAS.items():
        click.echo(f"{name:<{width}}  {(model.__doc__ or '').splitlines()[0]}")


@schema.command("dump")
@click.argument("name", required=False)
def dump(name: str | None) -> None:
    """Print the JSON Schema of NAME; without NAME, one object with the schema of every type."""
    from sage_infer_contracts.schemas import SCHEMAS, json_schema

    if name is None:
        click.echo(json.dumps({each: json_schema(each) for each in SCHEMAS}, indent=2))
        return
    if name not in SCHEMAS:
        near = difflib.get_close_matches(name, SCHEMAS, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}?" if near else "see: sage infer schema list"
        raise click.BadParameter(f"no type is called {name!r}; {hint}", param_hint="NAME")
    click.echo(json.dumps(json_schema(name), indent=2))
