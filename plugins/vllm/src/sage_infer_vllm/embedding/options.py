"""The options of the embedding backend in ``BackendConfig.options``."""

from __future__ import annotations

from pydantic import Field

from sage_infer_contracts.descriptors import PoolingType

from ..options import EngineOptions


class EmbeddingOptions(EngineOptions):
    """Options of the adapter for embeddings."""

    OWNER = "vLLM embedding adapter"

    pooling: PoolingType | None = Field(
        default=None, description="for a folder without modules.json, which needs it"
    )
    normalize: bool | None = Field(
        default=None, description="L2 norm, for a folder without modules.json; unset: no"
    )
