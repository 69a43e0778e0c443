"""Options that several commands share, and which configuration key each one sets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from sage_infer.config import LoadedConfig

_F = TypeVar("_F", bound=Callable[..., Any])

FLAG_KEYS = {
    "backend": "inference.backend",
    "llm": "inference.llm",
    "embedding": "inference.embedding",
    "embedding_backend": "inference.embedding_backend",
    "isolation": "inference.isolation",
    "offline": "inference.offline",
    "device": "inference.device",
    "dtype": "inference.dtype",
    "max_sequence_length": "inference.max_sequence_length",
    "max_batch_size": "inference.max_batch_size",
    "threads": "inference.threads",
    "options": "inference.options",
    "kv_schema": "kv_schema",
    "host": "serving.host",
    "port": "serving.port",
    "api_keys": "serving.api_keys",
    "drain_timeout": "serving.drain_timeout_s",
    "log_level": "logging.level",
    "log_format": "logging.format",
}
"""Option (parameter name) to configuration key; a flag beats environment, file and default."""


def model_options(command: _F) -> _F:
    """Add the options that say which engine runs which language model, and how."""
    for option in reversed(_MODEL_OPTIONS):
        command = option(command)
    return command


def load(config: Path | None, flags: dict[str, Any]) -> LoadedConfig:
    """Return the configuration in force under the given flags; those that were not given are None or empty."""
    from sage_infer.config import load_config

    values: dict[str, Any] = {}
    for name, value in flags.items():
        if value is None or value == () or value == {}:
            continue
        if name == "kv_schema":
            values.update({f"kv_schema.{key}": text for key, text in value.items()})
        else:
            values[FLAG_KEYS[name]] = list(value) if isinstance(value, tuple) else value
    return load_config(config, flags=values)


def _kv_schema(_ctx: click.Context, _param: click.Parameter, text: str | None) -> dict[str, str] | None:
    if text is None:
        return None
    from pydantic import ValidationError

    from sage_infer_contracts.kv import parse_kv_schema

    try:
        parse_kv_schema(text)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise click.BadParameter(f"{problem['loc'][0]}: {problem['msg']}") from None
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    pairs = [piece.partition("=") for piece in text.split(",") if piece.strip()]
    return {key.strip(): value.strip() for key, _, value in pairs}


def _key_values(_ctx: click.Context, _param: click.Parameter, texts: tuple[str, ...]) -> dict[str, Any]:
    import yaml

    values: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise click.BadParameter(f"{text!r} is not KEY=VALUE")
        values[key] = yaml.safe_load(value)
    return values


_MODEL_OPTIONS = [
    click.option(
        "--config", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Configuration file."
    ),
    click.option(
        "--backend", metavar="NAME", help="Inference backend: a plugin's name, dist:name, or auto.  [torch]"
    ),
    click.option(
        "--llm",
        "--model",
        "llm",
        multiple=True,
        metavar="MODEL",
        help="Language model: a folder, an installed model source, or a hub id.  [demo]",
    ),
    click.option("--dtype", help="Precision of the weights, e.g. fp32; auto leaves it to the backend."),
    click.option("--device", metavar="NAME", help="Hardware to run on.  [cpu]"),
    click.option("--threads", type=click.IntRange(min=1), help="CPU threads of each engine."),
    click.option(
        "--max-sequence-length", type=click.IntRange(min=1), help="Tokens of prompt and answer together."
    ),
    click.option("--max-batch-size", type=click.IntRange(min=1), help="Sequences that run at once."),
    click.option(
        "--kv-schema",
        callback=_kv_schema,
        metavar="SPEC",
        help="KV format to ask for: preset=fp16, or dtype=fp32,page_size=16.",
    ),
    click.option(
        "--option",
        "options",
        multiple=True,
        callback=_key_values,
        metavar="KEY=VALUE",
        help="An option of the backend's own; may be repeated.",
    ),
    click.option(
        "--isolation",
        type=click.Choice(["process", "inline"]),
        help="process: a worker per model; inline: in this process.  [process]",
    ),
    click.option("--offline", is_flag=True, default=None, help="Never touch the network to find a model."),
]
