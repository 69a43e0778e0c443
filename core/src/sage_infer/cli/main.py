"""The console scripts: ``sage`` (with ``infer`` and ``llm`` below it) and ``sage-infer`` (the same ``infer``).

Commands are named here and imported when they run, so that ``--help`` stays quick.
"""

from __future__ import annotations

import click

from .lazy import LazyCommand, LazyGroup, set_debug

_SERVE = LazyCommand("sage_infer.cli.serve:serve", "Serve models over an OpenAI-compatible HTTP API.")

LLM_COMMANDS = {"serve": _SERVE}

INFER_COMMANDS = {
    "serve": _SERVE,
    "generate": LazyCommand("sage_infer.cli.generate:generate", "Answer one prompt and stream the text."),
    "chat": LazyCommand("sage_infer.cli.chat:chat", "Talk to a model, turn by turn."),
    "backend": LazyCommand("sage_infer.cli.backend:backend", "List and test inference backends."),
    "plugin": LazyCommand("sage_infer.cli.plugin:plugin", "List, inspect and scaffold plugins."),
    "hw": LazyCommand("sage_infer.cli.hw:hw", "Detect the hardware of this machine."),
    "schema": LazyCommand("sage_infer.cli.schema:schema", "Print the JSON Schema of any contract type."),
    "config": LazyCommand("sage_infer.cli.config:config", "Show and validate the configuration."),
}

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
_debug = click.option(
    "--debug",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=set_debug,
    help="Show the traceback of an error.",
)
_version = click.version_option(package_name="sage-infer", prog_name="sage-infer")


@click.group("llm", cls=LazyGroup, table=LLM_COMMANDS, context_settings=_CONTEXT)
@_debug
def llm() -> None:
    """Serve a language model."""


@click.group("sage-infer", cls=LazyGroup, table=INFER_COMMANDS, plugins=True, context_settings=_CONTEXT)
@_version
@_debug
def sage_infer() -> None:
    """Run, serve and inspect models on any accelerator."""


@click.group("sage", cls=LazyGroup, context_settings=_CONTEXT)
@_version
@_debug
def sage() -> None:
    """SAGE: inference on any accelerator."""


sage_infer.add_command(llm)
sage.add_command(sage_infer, "infer")
sage.add_command(llm)
