"""Base classes of the pydantic value types.

Wire types carry a version. Unknown fields of a newer minor are ignored, so that an older host understands a
newer plugin; another major is refused; unknown fields of our own or an older version are a typo and refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

CONTRACT_MAJOR = 1
CONTRACT_MINOR = 0
CONTRACT_VERSION = f"{CONTRACT_MAJOR}.{CONTRACT_MINOR}"


class FrozenModel(BaseModel):
    """An immutable value type that refuses unknown fields."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", ser_json_inf_nan="strings", protected_namespaces=()
    )


class WireModel(FrozenModel):
    """An immutable value type that crosses process, version or machine boundaries."""

    WIRE_MAJOR: ClassVar[int] = CONTRACT_MAJOR
    WIRE_MINOR: ClassVar[int] = CONTRACT_MINOR

    schema_version: str = Field(default=CONTRACT_VERSION, pattern=r"^\d+\.\d+$", repr=False)

    @model_validator(mode="before")
    @classmethod
    def _accept_newer_minor(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        major, minor = parse_version(str(data.get("schema_version", CONTRACT_VERSION)))
        if major != cls.WIRE_MAJOR:
            raise ValueError(f"{cls.__name__} has wire major {major}; this side speaks {cls.WIRE_MAJOR}")
        if minor <= cls.WIRE_MINOR:
            return data
        return {key: value for key, value in data.items() if key in cls.model_fields}


def parse_version(text: str) -> tuple[int, int]:
    """Split ``"major.minor"``; raises ValueError on anything else."""
    major, dot, minor = text.partition(".")
    if not (dot and major.isdigit() and minor.isdigit()):
        raise ValueError(f"schema_version must look like '1.0', got {text!r}")
    return int(major), int(minor)
