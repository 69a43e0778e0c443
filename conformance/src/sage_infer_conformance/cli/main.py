"""The command group. What goes wrong is one line on standard error and an exit code, never a traceback."""

from __future__ import annotations

from typing import Any

import click

from sage_infer_contracts.errors import SageInferError

from .. import __version__
from .exits import INTERRUPTED, exit_code, explain_exits
from .judge import judge
from .look import explain, list_subjects
from .replay import replay
from .run import run
from .verify import verify


class _Group(click.Group):
    """Turns errors of the family into one line and the exit code that belongs to them."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SageInferError as error:
            click.echo(f"error: {' '.join(str(error).split())}", err=True)
            ctx.exit(exit_code(error))
        except BrokenPipeError:
            raise  # click ends quietly when nobody reads any more
        except OSError as error:
            click.echo(f"error: {error.strerror or error}: {error.filename or ''}".rstrip(": "), err=True)
            ctx.exit(1)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(INTERRUPTED)


@click.group(
    "conformance",
    cls=_Group,
    epilog=explain_exits(),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="sage-infer-conformance")
def conformance() -> None:
    """Certify a plugin against the contract of sage-infer."""


for command in (run, list_subjects, explain, replay, judge, verify):
    conformance.add_command(command)
