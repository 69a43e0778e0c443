"""The options of the embedding backend in ``BackendConfig.options``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import Field, PositiveFloat, ValidationError

from sage_infer_contracts.descriptors import PoolingType
from sage_infer_contracts.errors import InvalidRequest
from sage_infer_contracts.wire import FrozenModel


class EmbeddingOptions(FrozenModel):
    """Options of the embedding backend; the defaults are what an unset option means."""

    pooling: PoolingType | None = Field(
        default=None, description="for a folder without modules.json, which needs it"
    )
    normalize: bool | None = Field(
        default=None, description="L2 norm, for a folder without modules.json; unset: no"
    )
    close_timeout_s: PositiveFloat = Field(default=30.0, description="wait for the running batch, in seconds")

    @classmethod
    def parse(cls, options: Mapping[str, object]) -> Self:
        """Read ``options``; raises ``InvalidRequest`` naming the offending key and what exists."""
        for key in options:
            if key not in cls.model_fields:
                known = ", ".join(sorted(cls.model_fields))
                raise InvalidRequest(
                    f"option {key!r} is unknown to the torch embedding backend; options: {known}",
                    param=f"options.{key}",
                )
        try:
            return cls.model_validate(dict(options))
        except ValidationError as error:
            first = error.errors()[0]
            key = str(first["loc"][0])
            raise InvalidRequest(
                f"option {key!r}: {first['msg']}, got {options[key]!r}", param=f"options.{key}"
            ) from error
