"""``sage infer chat``: a conversation on the terminal, or over a pipe."""

from __future__ import annotations

import asyncio
import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .generate import SAMPLING_KEYS, sampling_options, sampling_params
from .options import load, model_options

if TYPE_CHECKING:
    from sage_infer.deployment import Deployment
    from sage_infer_contracts.chat import ChatMessage
    from sage_infer_contracts.sampling import SamplingParams

_HELP = "/reset forgets the conversation, /quit (or end of input) leaves, Ctrl-C stops an answer"


@click.command("chat")
@model_options
@sampling_options
@click.option("--system", metavar="TEXT", help="System message at the start of the conversation.")
@click.option("--quiet", is_flag=True, help="No progress.")
def chat(config: Path | None, system: str | None, quiet: bool, **options: Any) -> None:
    """Talk to a model, turn by turn, with the whole conversation as context."""
    from .session import open_prepared, prepare

    params = sampling_params({key: options.pop(key) for key in SAMPLING_KEYS})
    prepared = prepare(load(config, options).settings, quiet=quiet)
    # The loop runs only during a turn: input() then keeps the main thread and Ctrl-C to itself.
    with asyncio.Runner() as runner:
        deployment = runner.run(open_prepared(prepared, quiet=quiet))
        try:
            _converse(runner, _Conversation(deployment, prepared.model_id, params, system))
        finally:
            runner.run(deployment.close())


class _Conversation:
    """The turns so far."""

    def __init__(
        self, deployment: Deployment, model_id: str, params: SamplingParams, system: str | None
    ) -> None:
        self._deployment = deployment
        self._model_id = model_id
        self._params = params
        self._system = system
        self._turns: list[ChatMessage] = []
        self.reset()

    def reset(self) -> None:
        """Forget everything but the system message."""
        from sage_infer_contracts.chat import ChatMessage

        self._turns = [ChatMessage(role="system", content=self._system)] if self._system else []

    async def turn(self, text: str) -> None:
        """Stream the answer to ``text``; both are kept only when the answer is complete or was stopped."""
        from sage_infer.control_plane import GenerateRequest
        from sage_infer_contracts.chat import ChatMessage

        from .session import deltas

        question = ChatMessage(role="user", content=text)
        request = GenerateRequest(
            model_id=self._model_id, params=self._params, messages=[*self._turns, question]
        )
        said: list[str] = []
        try:
            async for delta in deltas(self._deployment, request):
                said.append(delta.text)
                sys.stdout.write(delta.text)
                sys.stdout.flush()
        except asyncio.CancelledError:
            said.append(" …")
            raise
        finally:
            click.echo()
            if said:
                self._turns += [question, ChatMessage(role="assistant", content="".join(said))]


def _converse(runner: asyncio.Runner, conversation: _Conversation) -> None:
    from sage_infer_contracts.errors import SageInferError

    interactive = sys.stdin.isatty()
    if interactive:
        importlib.import_module("readline")  # line editing and history for input()
        click.echo(_HELP, err=True)
    while (line := _read_line(interactive)) is not None:
        text = line.strip()
        if text == "/quit":
            return
        if text == "/reset":
            conversation.reset()
        elif text.startswith("/"):
            click.echo(_HELP, err=True)
        elif text:
            try:
                runner.run(conversation.turn(text))
            except KeyboardInterrupt:
                continue
            except SageInferError as error:
                if not interactive:
                    raise
                click.echo(f"error: {error}", err=True)


def _read_line(interactive: bool) -> str | None:
    try:
        if interactive:
            return input("> ")
        return sys.stdin.readline() or None
    except EOFError:
        return None
