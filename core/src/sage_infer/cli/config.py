"""``sage infer config``: the configuration in force, and a check of a file."""

from __future__ import annotations

import json
from pathlib import Path

import click

from .tables import print_table


@click.group("config")
def config() -> None:
    """Show and validate the configuration."""


@config.command("show")
@click.option(
    "--config",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Configuration file.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(file: Path | None, as_json: bool) -> None:
    """Print every key, its value, and who set it: environment, file or default. Secrets are masked."""
    from sage_infer.config import load_config
    from sage_infer.config.rendering import rows

    loaded = load_config(file)
    shown = rows(loaded.settings)
    if as_json:
        data = {key: {"value": value, "origin": loaded.origins[key]} for key, value in shown.items()}
        click.echo(json.dumps({"file": None if loaded.file is None else str(loaded.file), "keys": data}))
        return
    print_table(
        ("key", "value", "origin"),
        ((key, json.dumps(value, ensure_ascii=False), loaded.origins[key]) for key, value in shown.items()),
        title=str(loaded.file or "no configuration file"),
    )


@config.command("validate")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def validate(file: Path, as_json: bool) -> None:
    """Check FILE alone, without environment: unknown keys and wrong values are errors."""
    from sage_infer.config.loading import validate_file

    keys = validate_file(file)
    click.echo(json.dumps({"ok": True, "keys": keys}) if as_json else f"{file}: ok, {len(keys)} keys set")
