"""The options of the embedding backend in ``BackendConfig.options``."""

from __future__ import annotations

from pydantic import Field, PositiveFloat

from sage_infer_contracts.descriptors import PoolingType
from sage_infer_contracts.engines.options import PluginOptions


class EmbeddingOptions(PluginOptions):
    """Options of the embedding backend; the defaults are what an unset option means."""

    OWNER = "torch embedding backend"

    pooling: PoolingType | None = Field(
        default=None, description="for a folder without modules.json, which needs it"
    )
    normalize: bool | None = Field(
        default=None, description="L2 norm, for a folder without modules.json; unset: no"
    )
    close_timeout_s: PositiveFloat = Field(default=30.0, description="wait for the running batch, in seconds")
