"""The options this plugin understands in ``BackendConfig.options``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import Field, PositiveFloat, PositiveInt, ValidationError

from sage_infer_contracts.errors import InvalidRequest
from sage_infer_contracts.wire import FrozenModel


class EngineOptions(FrozenModel):
    """Options of the engine; the defaults are what an unset option means."""

    block_size: PositiveInt = Field(default=16, le=1024, description="tokens per KV block")
    prefix_cache: bool = Field(default=True, description="share full blocks between equal beginnings")
    namespace: str = Field(default="", description="separates cached prefixes of different tenants")
    watermark: float = Field(default=0.01, ge=0.0, lt=1.0, description="share of the pool kept at admission")
    prefill_chunk_tokens: PositiveInt | None = Field(
        default=None, description="prompt tokens a step, a sequence"
    )
    lease_s: PositiveFloat = Field(default=60.0, description="life of a prefilled sequence, in seconds")
    close_timeout_s: PositiveFloat = Field(default=30.0, description="wait for the last step, in seconds")

    @classmethod
    def parse(cls, options: Mapping[str, object]) -> Self:
        """Read ``options``; raises ``InvalidRequest`` naming the offending key and what exists."""
        for key in options:
            if key not in cls.model_fields:
                known = ", ".join(sorted(cls.model_fields))
                raise InvalidRequest(
                    f"option {key!r} is unknown to the torch engine; options: {known}", param=f"options.{key}"
                )
        try:
            return cls.model_validate(dict(options))
        except ValidationError as error:
            first = error.errors()[0]
            key = str(first["loc"][0])
            raise InvalidRequest(
                f"option {key!r}: {first['msg']}, got {options[key]!r}", param=f"options.{key}"
            ) from error
