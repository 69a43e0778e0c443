"""The options this plugin understands in ``BackendConfig.options``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import Field, PositiveFloat, PositiveInt

from sage_infer_contracts.engines.options import PluginOptions

PASSTHROUGH = "vllm."
"""Prefix of options that go to vLLM's engine arguments unchanged, e.g. ``vllm.max_loras``."""

EngineArgument = str | int | float | bool | None


class EngineOptions(PluginOptions):
    """Options of every engine this plugin starts; the defaults are what an unset option means."""

    enforce_eager: bool = Field(
        default=False, description="run without compiled graphs: starts sooner, runs slower"
    )
    quantization: str | None = Field(
        default=None, description="vLLM's method that quantises weights as it loads them"
    )
    num_gpu_blocks: PositiveInt | None = Field(
        default=None, description="KV blocks, instead of a memory size"
    )
    prefix_cache: bool = Field(default=True, description="share full blocks between equal beginnings")
    trust_remote_code: bool = Field(default=False, description="run code that comes with the model")
    close_timeout_s: PositiveFloat = Field(
        default=30.0, description="wait for the engine's processes, in seconds"
    )
    allow_untested_version: bool = Field(default=False, description="start a vLLM outside the tested window")
    engine_arguments: Mapping[str, EngineArgument] = Field(
        default_factory=dict, description="filled from the options that begin with 'vllm.'"
    )

    @classmethod
    def parse(cls, options: Mapping[str, object]) -> Self:
        """Read ``options``; raises ``InvalidRequest`` naming the offending key and what exists."""
        own = {key: value for key, value in options.items() if not key.startswith(PASSTHROUGH)}
        through = {
            key.removeprefix(PASSTHROUGH): value
            for key, value in options.items()
            if key.startswith(PASSTHROUGH)
        }
        return super().parse({**own, "engine_arguments": through})


class VLLMOptions(EngineOptions):
    """Options of the adapter for language models."""

    OWNER = "vLLM adapter"

    split_prefill: bool = Field(default=True, description="let prefill and decode be separate calls")
    lease_s: PositiveFloat = Field(default=60.0, description="life of a prefilled sequence, in seconds")
