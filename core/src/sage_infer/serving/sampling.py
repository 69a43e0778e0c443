"""From request fields to the contract's sampling parameters."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from sage_infer_contracts.sampling import MAX_STOP_STRINGS, SamplingParams

from .body import field_error
from .errors import ApiError, refuse
from .fields import GenerationFields

_SAME_NAME = (
    "temperature",
    "top_p",
    "n",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "min_p",
    "repetition_penalty",
    "ignore_eos",
    "min_tokens",
)


def sampling_params(
    request: GenerationFields,
    *,
    max_tokens: int | None,
    logprobs: int | None = None,
    json_schema: str | None = None,
) -> SamplingParams:
    """Return the parameters of ``request``; fields left null take the contract's defaults."""
    fields: dict[str, Any] = {
        name: value for name in _SAME_NAME if (value := getattr(request, name)) is not None
    }
    fields["max_tokens"] = max_tokens
    fields["stop"] = _stop(request)
    fields["top_k"] = max(request.top_k or 0, 0)
    fields["stop_token_ids"] = tuple(request.stop_token_ids or ())
    fields["logit_bias"] = _logit_bias(request)
    fields["logprobs"] = logprobs
    fields["json_schema"] = json_schema
    try:
        return SamplingParams(**fields)
    except ValidationError as error:
        raise field_error(error) from error


def allow_only(request: GenerationFields, allowed: dict[str, tuple[object, ...]]) -> None:
    """Refuse fields of the API whose other values ask for what this server does not do."""
    if request.stream_options is not None and not request.stream:
        raise refuse("stream_options is only allowed when stream is true", "stream_options")
    for name, values in allowed.items():
        value = getattr(request, name)
        if value is not None and not any(type(value) is type(ok) and value == ok for ok in values):
            hint = f"; it may be left out or be {' or '.join(map(repr, values))}" if values else ""
            raise refuse(f"parameter {name!r} is not supported{hint}", name, code="unsupported")


def _stop(request: GenerationFields) -> tuple[str, ...]:
    stop = [request.stop] if isinstance(request.stop, str) else request.stop or []
    if "" in stop:
        raise refuse("stop: an empty string would stop before the first token", "stop")
    if len(stop) > MAX_STOP_STRINGS:
        raise refuse(f"stop: at most {MAX_STOP_STRINGS} strings, got {len(stop)}", "stop")
    return tuple(stop)


def _logit_bias(request: GenerationFields) -> dict[int, float] | None:
    if not request.logit_bias:
        return None
    return {_token_id(key): bias for key, bias in request.logit_bias.items()}


def _token_id(key: str) -> int:
    if not (key.isascii() and key.isdecimal() and len(key) <= 10):
        raise _bad_key(key)
    return int(key)


def _bad_key(key: str) -> ApiError:
    return refuse(f"logit_bias: {key[:40]!r} is not a token id", "logit_bias")
