"""Sampling parameters, and which capability each one needs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Self

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from .capabilities import Capability
from .errors import Unsupported
from .wire import WireModel

MAX_STOP_STRINGS = 16


class SamplingParams(WireModel):
    """How to choose tokens and when to stop.

    ``temperature`` 0 is greedy, whatever ``top_p`` and ``top_k`` say. ``top_k`` 0 turns the filter off.
    ``max_tokens`` null means as many as the context allows.
    """

    max_tokens: PositiveInt | None = 16
    temperature: float = Field(default=1.0, ge=0.0, le=100.0, allow_inf_nan=False)
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    top_k: NonNegativeInt = 0
    min_p: float = Field(default=0.0, ge=0.0, le=1.0)
    seed: int | None = Field(default=None, ge=-(2**63), le=2**63 - 1)
    stop: tuple[str, ...] = Field(default=(), max_length=MAX_STOP_STRINGS)
    stop_token_ids: tuple[NonNegativeInt, ...] = ()
    ignore_eos: bool = False
    min_tokens: NonNegativeInt = 0
    repetition_penalty: float = Field(default=1.0, gt=0.0, le=2.0)
    presence_penalty: float = Field(default=0.0, ge=-2.0, le=2.0)
    frequency_penalty: float = Field(default=0.0, ge=-2.0, le=2.0)
    logit_bias: Mapping[int, float] | None = None
    logprobs: NonNegativeInt | None = Field(
        default=None, description="alternatives per token; 0: the token's own"
    )
    n: PositiveInt = 1
    json_schema: str | None = Field(default=None, description="JSON Schema text that the output must satisfy")

    @model_validator(mode="after")
    def _no_empty_stop(self) -> Self:
        if "" in self.stop:
            raise ValueError("an empty stop string would stop before the first token")
        if self.max_tokens is not None and self.min_tokens > self.max_tokens:
            raise ValueError("min_tokens is above max_tokens")
        return self

    @property
    def greedy(self) -> bool:
        """Whether the most likely token is always taken."""
        return self.temperature == 0.0

    def needed_capabilities(self) -> dict[str, Capability]:
        """Map each parameter that is set to something special to the capability it needs."""
        return {
            name: capability
            for name, capability in _NEEDS.items()
            if getattr(self, name) != type(self).model_fields[name].default
        }

    def require(self, declared: Collection[str]) -> None:
        """Raise ``Unsupported`` naming the first parameter whose capability is not in ``declared``."""
        for param, capability in self.needed_capabilities().items():
            if capability not in declared:
                raise Unsupported(
                    f"parameter {param!r} is not supported by this backend (needs {capability})",
                    capability=capability,
                    param=param,
                )


_NEEDS: dict[str, Capability] = {
    "min_p": Capability.BACKEND_MIN_P,
    "min_tokens": Capability.BACKEND_MIN_TOKENS,
    "repetition_penalty": Capability.BACKEND_PENALTIES,
    "presence_penalty": Capability.BACKEND_PENALTIES,
    "frequency_penalty": Capability.BACKEND_PENALTIES,
    "logit_bias": Capability.BACKEND_LOGIT_BIAS,
    "logprobs": Capability.BACKEND_LOGPROBS,
    "n": Capability.BACKEND_PARALLEL_SAMPLING,
    "json_schema": Capability.BACKEND_STRUCTURED_OUTPUT,
}
