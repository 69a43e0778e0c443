"""Describes bodies that routes read themselves, and the error object, in the OpenAPI document."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

_ERROR = {
    "description": "The request was refused or failed",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["error"],
                "properties": {
                    "error": {
                        "type": "object",
                        "required": ["message", "type", "param", "code"],
                        "properties": {
                            "message": {"type": "string"},
                            "type": {"type": "string"},
                            "param": {"type": ["string", "null"]},
                            "code": {"type": ["string", "null"]},
                        },
                    }
                },
            }
        }
    },
}
ERROR_RESPONSES: dict[int | str, dict[str, Any]] = {"4XX": _ERROR, "5XX": _ERROR}


def body_of(model: type[BaseModel]) -> dict[str, Any]:
    """Return the OpenAPI request body for ``model``, its definitions inlined beside it."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def definitions_of(*models: type[BaseModel]) -> dict[str, Any]:
    """Return the schemas that the bodies of ``models`` refer to."""
    found: dict[str, Any] = {}
    for model in models:
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        found.update(schema.get("$defs", {}))
    return found
