"""Reading ``BackendConfig.options``: every wrong key is named, with what exists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

from pydantic import ValidationError

from ..errors import InvalidRequest
from ..wire import FrozenModel


class PluginOptions(FrozenModel):
    """Base of a backend's options; the defaults are what an unset option means."""

    OWNER: ClassVar[str]
    """Whose options they are, for messages."""

    @classmethod
    def parse(cls, options: Mapping[str, object]) -> Self:
        """Read ``options``; raises ``InvalidRequest`` naming the offending key and what exists."""
        for key in options:
            if key not in cls.model_fields:
                known = ", ".join(sorted(cls.model_fields))
                raise InvalidRequest(
                    f"option {key!r} is unknown to the {cls.OWNER}; options: {known}", param=f"options.{key}"
                )
        try:
            return cls.model_validate(dict(options))
        except ValidationError as error:
            first = error.errors()[0]
            key = str(first["loc"][0])
            raise InvalidRequest(
                f"option {key!r}: {first['msg']}, got {options[key]!r}", param=f"options.{key}"
            ) from error
