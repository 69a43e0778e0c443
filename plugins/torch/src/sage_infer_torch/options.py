"""The options this plugin understands in ``BackendConfig.options``."""

from __future__ import annotations

from pydantic import Field, PositiveFloat, PositiveInt

from sage_infer_contracts.engines.options import PluginOptions


class EngineOptions(PluginOptions):
    """Options of the engine; the defaults are what an unset option means."""

    OWNER = "torch engine"

    block_size: PositiveInt = Field(default=16, le=1024, description="tokens per KV block")
    prefix_cache: bool = Field(default=True, description="share full blocks between equal beginnings")
    namespace: str = Field(default="", description="separates cached prefixes of different tenants")
    watermark: float = Field(default=0.01, ge=0.0, lt=1.0, description="share of the pool kept at admission")
    prefill_chunk_tokens: PositiveInt | None = Field(
        default=None, description="prompt tokens a step, a sequence"
    )
    graphs: bool = Field(default=True, description="compile decode steps in the background (cpu)")
    graph_after_steps: PositiveInt = Field(
        default=512, description="eager steps of a batch size before it is compiled"
    )
    lease_s: PositiveFloat = Field(default=60.0, description="life of a prefilled sequence, in seconds")
    close_timeout_s: PositiveFloat = Field(default=30.0, description="wait for the last step, in seconds")
