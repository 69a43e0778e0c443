"""Options of the reference backend."""

from __future__ import annotations

from pydantic import Field, PositiveFloat, PositiveInt

from sage_infer_contracts.engines.options import PluginOptions


class ReferenceOptions(PluginOptions):
    """The defaults are what an unset option means."""

    OWNER = "reference backend"

    block_size: PositiveInt = Field(default=8, le=64, description="tokens per KV block")
    lease_s: PositiveFloat = Field(default=60.0, description="life of a prefilled sequence, in seconds")
