"""``sage infer generate``: one prompt, one answer, streamed to standard output."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .options import load, model_options

_F = TypeVar("_F", bound=Callable[..., Any])

if TYPE_CHECKING:
    from sage_infer.control_plane import GenerateRequest
    from sage_infer.deployment import Deployment
    from sage_infer_contracts.sampling import SamplingParams

    from .session import Prepared


def sampling_options(command: _F) -> _F:
    """Add the options that say how tokens are chosen and when to stop."""
    for option in reversed(_SAMPLING_OPTIONS):
        command = option(command)
    return command


_SAMPLING_OPTIONS: list[Callable[[Any], Any]] = [
    click.option("--max-tokens", type=click.IntRange(min=1), default=256, show_default=True),
    click.option(
        "--temperature",
        type=float,
        default=0.0,
        show_default=True,
        help="0 always takes the likeliest token.",
    ),
    click.option("--top-p", type=float, default=1.0, show_default=True),
    click.option("--top-k", type=int, default=0, show_default=True, help="0 turns the filter off."),
    click.option("--seed", type=int, help="Makes sampling reproducible."),
    click.option("--stop", multiple=True, metavar="TEXT", help="Stop before this text; may be repeated."),
    click.option("--ignore-eos", is_flag=True, help="Go on after the model's end token."),
]
SAMPLING_KEYS = ("max_tokens", "temperature", "top_p", "top_k", "seed", "stop", "ignore_eos")


@click.command("generate")
@click.argument("prompt")
@model_options
@sampling_options
@click.option("--raw", is_flag=True, help="Give the prompt to the model as it is, without its chat template.")
@click.option("--system", metavar="TEXT", help="System message put before the prompt.")
@click.option("--quiet", is_flag=True, help="No progress.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole answer as one JSON object.")
def generate(
    prompt: str,
    config: Path | None,
    raw: bool,
    system: str | None,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Answer PROMPT and stream the text; a PROMPT of - reads standard input."""
    from .session import prepare

    params = sampling_params({key: options.pop(key) for key in SAMPLING_KEYS})
    if raw and system:
        raise click.UsageError("--system needs the chat template that --raw leaves out")
    text = sys.stdin.read() if prompt == "-" else prompt
    prepared = prepare(load(config, options).settings, quiet=quiet)
    answer = asyncio.run(
        _answer(prepared, text, params, raw=raw, system=system, quiet=quiet, as_json=as_json)
    )
    if as_json:
        click.echo(json.dumps(answer, ensure_ascii=False))


def sampling_params(options: dict[str, Any]) -> SamplingParams:
    """Return the parameters, or a usage error that names the option."""
    from pydantic import ValidationError

    from sage_infer_contracts.sampling import SamplingParams

    try:
        return SamplingParams(**options)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = "--" + str(problem["loc"][0]).replace("_", "-") if problem["loc"] else "options"
        raise click.BadParameter(problem["msg"], param_hint=place) from None


async def _answer(
    prepared: Prepared,
    prompt: str,
    params: SamplingParams,
    *,
    raw: bool,
    system: str | None,
    quiet: bool,
    as_json: bool,
) -> dict[str, Any]:
    from .session import has_chat_template, open_prepared

    deployment = await open_prepared(prepared, quiet=quiet)
    try:
        if not raw and not await has_chat_template(deployment, prepared.model_id):
            click.echo(f"{prepared.model_id} has no chat template; the prompt goes in as it is", err=True)
            raw = True
        request = _request(prepared.model_id, prompt, params, raw=raw, system=system)
        return await _run(deployment, request, as_json=as_json)
    finally:
        await deployment.close()


def _request(
    model_id: str, prompt: str, params: SamplingParams, *, raw: bool, system: str | None
) -> GenerateRequest:
    from sage_infer.control_plane import GenerateRequest
    from sage_infer_contracts.chat import ChatMessage

    if raw:
        return GenerateRequest(model_id=model_id, params=params, prompts=(prompt,))
    turns = [ChatMessage(role="system", content=system)] if system else []
    return GenerateRequest(
        model_id=model_id, params=params, messages=[*turns, ChatMessage(role="user", content=prompt)]
    )


async def _run(deployment: Deployment, request: GenerateRequest, *, as_json: bool) -> dict[str, Any]:
    from .session import deltas

    started = time.perf_counter()
    first_s: float | None = None
    parts: list[str] = []
    last = None
    async for delta in deltas(deployment, request):
        if first_s is None and delta.token_ids:
            first_s = time.perf_counter() - started
        parts.append(delta.text)
        last = delta
        if not as_json:
            sys.stdout.write(delta.text)
            sys.stdout.flush()
    if not as_json:
        click.echo()
    usage = last.usage if last is not None else None
    return {
        "request_id": request.request_id,
        "model": request.model_id,
        "text": "".join(parts),
        "finish_reason": last.finish_reason if last is not None else None,
        "stop_reason": last.stop_reason if last is not None else None,
        "usage": None
        if usage is None
        else {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "reused_prompt_tokens": usage.reused_prompt_tokens,
        },
        "ttft_ms": None if first_s is None else round(first_s * 1000, 3),
        "total_ms": round((time.perf_counter() - started) * 1000, 3),
    }
