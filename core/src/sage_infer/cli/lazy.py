"""A click group whose commands are imported when they run, not when they are listed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import attrs
import click

from sage_infer_contracts.errors import (
    PluginConflict,
    PluginLoadError,
    SageInferError,
    error_to_wire,
)

# The value of sage_infer_contracts.plugins.COMMANDS_GROUP, repeated because that module imports pydantic.
COMMANDS_GROUP = "sage_infer.commands"
DEBUG_KEY = "sage_infer.debug"
_INTERRUPTED = 130


@attrs.frozen(slots=True)
class LazyCommand:
    """Where a command lives (``module:attribute``), and the line that ``--help`` shows for it."""

    target: str
    summary: str

    def load(self) -> click.Command:
        """Import the command's module and return the command."""
        module, _, attribute = self.target.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command


class LazyGroup(click.Group):
    """Lists commands from a static table and, with ``plugins``, from installed entry points by name only."""

    def __init__(
        self, *args: Any, table: Mapping[str, LazyCommand] | None = None, plugins: bool = False, **extra: Any
    ) -> None:
        super().__init__(*args, **extra)
        self._table = dict(table or {})
        self._plugins = plugins

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return every command name, sorted; imports none of them."""
        return sorted({*super().list_commands(ctx), *self._table, *self._plugin_commands()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command; a plugin can add a command but not replace one of ours."""
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        if cmd_name in self._table:
            return self._table[cmd_name].load()
        candidates = self._plugin_commands().get(cmd_name, [])
        return _load_plugin_command(cmd_name, candidates) if candidates else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, answering an unknown one with the nearest names."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            near = get_close_matches(args[0], self.list_commands(ctx), n=2)
            if not near or "Did you mean" in error.message:  # newer clicks suggest by themselves
                raise
            raise click.UsageError(f"{error.message} Did you mean {' or '.join(near)}?", ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the command list from the table's summaries, so that help imports nothing."""
        rows = [(name, self._summary(ctx, name)) for name in self.list_commands(ctx)]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Remember whether JSON was asked for, so that an error can be answered in kind."""
        if ctx.parent is None:
            before_prompt = args[: args.index("--")] if "--" in args else args
            ctx.meta["sage_infer.json"] = "--json" in before_prompt
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; the outermost group turns errors of the family into one line and exit code 1."""
        if ctx.parent is not None:
            return super().invoke(ctx)
        try:
            return super().invoke(ctx)
        except SageInferError as error:
            if ctx.meta.get(DEBUG_KEY):
                raise
            report_error(error, as_json=ctx.meta.get("sage_infer.json", False))
            ctx.exit(1)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(_INTERRUPTED)

    def _plugin_commands(self) -> dict[str, list[EntryPoint]]:
        found: dict[str, list[EntryPoint]] = {}
        if self._plugins:
            for entry in entry_points(group=COMMANDS_GROUP):
                if entry.name not in self._table:
                    found.setdefault(entry.name, []).append(entry)
        return found

    def _summary(self, ctx: click.Context, name: str) -> str:
        if name in self._table:
            return self._table[name].summary
        own = super().get_command(ctx, name)
        if own is not None:
            return own.get_short_help_str(limit=80)
        return f"From {', '.join(_distribution(entry) for entry in self._plugin_commands()[name])}."


def report_error(error: SageInferError, *, as_json: bool) -> None:
    """Print one line to stderr, and with ``as_json`` the error as an object to stdout."""
    line = " ".join(str(error).split())
    click.echo(f"error: {line}", err=True)
    if as_json:
        click.echo(json.dumps({"error": error_to_wire(error)}, ensure_ascii=False))


def set_debug(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    """Keep ``--debug`` for the outermost group, whichever group it was given to."""
    if value:
        ctx.meta[DEBUG_KEY] = True


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else "an unknown distribution"


def _load_plugin_command(name: str, candidates: list[EntryPoint]) -> click.Command:
    # One distribution may be found twice on sys.path; only different ones are in conflict.
    owners = {_distribution(entry): entry for entry in reversed(candidates)}
    if len(owners) > 1:
        raise PluginConflict(
            f"command {name!r} is claimed by {', '.join(sorted(owners))}; uninstall all but one of them"
        )
    distribution, entry = next(iter(owners.items()))
    try:
        command = entry.load()
    # A plugin's import may raise anything, SystemExit included: the load boundary.
    except (Exception, SystemExit) as error:
        raise PluginLoadError(
            f"command {name!r} of {distribution} failed to load from {entry.value}: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(command, click.Command):
        raise PluginLoadError(f"command {name!r} of {distribution} ({entry.value}) is not a click command")
    return command
