"""Reads a request body into a model: bounded, strict, and with errors that name the field and its limit."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, from_json
from starlette.requests import ClientDisconnect

from .errors import ApiError, refuse
from .settings import ServingSettings

Model = TypeVar("Model", bound=BaseModel)


async def read_model(request: Request, model: type[Model], settings: ServingSettings) -> Model:
    """Return the body as ``model``; raises ``ApiError`` with status 400, 408, 413 or 415."""
    _check_content_type(request)
    try:
        async with asyncio.timeout(settings.body_timeout_s):
            body = await request.body()
    except TimeoutError as error:
        raise ApiError(
            408,
            f"the body did not arrive within {settings.body_timeout_s:g} s",
            headers={"connection": "close"},
        ) from error
    except ClientDisconnect as error:
        raise refuse("the client went away before its request was complete") from error
    return parse(body, model)


def parse(body: bytes, model: type[Model]) -> Model:
    """Return ``body`` as ``model``; the error names the first field at fault."""
    try:
        return model.model_validate_json(body, strict=True)
    except ValidationError as error:
        raise _explain(error.errors(include_url=False, include_context=True), body, model) from error


def field_error(error: ValidationError) -> ApiError:
    """Explain a validation error of an object that was built from checked fields."""
    first = error.errors(include_url=False)[0]
    path = ".".join(str(part) for part in first["loc"]) or None
    return refuse(_clean(first["msg"]), path)


def _check_content_type(request: Request) -> None:
    header = request.headers.get("content-type")
    kind = (header or "application/json").split(";", 1)[0].strip().lower()
    if kind != "application/json":
        raise ApiError(415, f"content-type is {kind[:100]!r}; send the body as application/json")


def _explain(errors: Sequence[ErrorDetails], body: bytes, model: type[BaseModel]) -> ApiError:
    if errors[0]["type"] == "json_invalid":
        return refuse(f"the body is not valid JSON: {_clean(errors[0]['msg'])}", code="invalid_json")
    document = from_json(body, allow_inf_nan=True)
    paths = [(_real_path(error["loc"], document), error) for error in errors]
    path, error = max(paths, key=lambda item: len(item[0]))  # the deepest is nearest to what was meant
    if not path:
        return refuse("the body must be a JSON object")
    param = ".".join(map(str, path))
    if error["type"] == "extra_forbidden":
        return refuse(_unknown_field(param, str(path[-1]), error, model), param, code="unknown_parameter")
    field = model.model_fields.get(str(path[0]))
    extra = field.json_schema_extra if field is not None else None
    if isinstance(extra, dict) and "x-accepts" in extra:
        return refuse(f"{path[0]}: must be {extra['x-accepts']}", str(path[0]))
    got = "" if error["type"] == "missing" else f", got {_shown(error['input'])}"
    return refuse(f"{param}: {_clean(error['msg'])}{got}", param)


def _real_path(loc: Sequence[str | int], document: Any) -> list[str | int]:
    """Drop what pydantic adds to a location to tell the members of a union apart."""
    path: list[str | int] = []
    for part in loc:
        if isinstance(document, dict) and isinstance(part, str):
            document = document.get(part)
        elif isinstance(document, list) and isinstance(part, int):
            document = document[part] if part < len(document) else None
        else:
            continue
        path.append(part)
    return path


def _unknown_field(param: str, name: str, error: ErrorDetails, model: type[BaseModel]) -> str:
    known = list(model.model_fields) if "." not in param else []
    close = get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"unknown parameter {param[:200]!r}{hint}"


def _clean(message: str) -> str:
    message = message.removeprefix("Value error, ").removeprefix("Invalid JSON: ")
    return message[:1].lower() + message[1:]


def _shown(value: object) -> str:
    try:
        text = json.dumps(value)
    except (TypeError, ValueError):
        text = type(value).__name__
    return text if len(text) <= 60 else text[:57] + "..."
