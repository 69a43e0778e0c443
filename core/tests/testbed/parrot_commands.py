"""A command that a plugin adds to the CLI."""

import click


@click.command()
def squawk() -> None:
    """Say something."""
    click.echo("squawk!")
