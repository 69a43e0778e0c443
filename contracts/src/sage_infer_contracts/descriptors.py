"""What an instance and a model can do, for schedulers. Field names come from the design documents."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from .kv import KVCacheSchema
from .names import DType, HardwareName, InstanceType
from .wire import FrozenModel, WireModel

PoolingType = Literal["mean", "cls", "last"]
ModelType = Literal["llm", "embedding", "reranker", "multimodal"]


class CapabilityDescriptor(WireModel):
    """One instance. Hints are measured or null; a figure nobody measured is never invented."""

    backend_name: str
    instance_type: InstanceType = InstanceType.GENERAL
    hardware_backend: HardwareName

    max_batch_size: PositiveInt = Field(description="sequences that run at once")
    max_sequence_length: PositiveInt = Field(description="prompt plus generated tokens")
    kv_cache_capacity_gb: NonNegativeFloat = Field(description="KV pool, in 10^9 bytes")

    supported_precisions: tuple[DType, ...]
    kv_schema: KVCacheSchema | None = Field(default=None, description="null for embedding-only instances")

    quant_profile_id: str | None = None
    sparsity_ratio: float = Field(default=0.0, ge=0.0, lt=1.0)

    throughput_hint_tps: float | None = Field(default=None, gt=0, description="measured tokens per second")
    ttft_hint_ms: float | None = Field(default=None, gt=0, description="measured")

    capabilities: frozenset[str] = frozenset()
    max_waiting_requests: NonNegativeInt | None = Field(
        default=None, description="the engine's own queue bound"
    )


class ModelDescriptor(WireModel):
    """One model to load, or loaded."""

    model_id: str = Field(min_length=1)
    model_type: ModelType
    model_path: str

    device_ids: tuple[NonNegativeInt, ...] = ()
    memory_gb: NonNegativeFloat = Field(description="budget on the devices, in 10^9 bytes")

    max_batch_size: PositiveInt
    max_sequence_length: PositiveInt
    supported_precisions: tuple[DType, ...]

    embedding_dim: PositiveInt | None = None
    pooling_type: PoolingType | None = None
    max_pair_length: PositiveInt | None = None


class HybridCapabilityDescriptor(WireModel):
    """An instance that serves several models under one memory budget."""

    backend_name: str
    instance_type: Literal["hybrid", "llm_embedding"] = "hybrid"
    hardware_backend: HardwareName = "cpu"
    loaded_models: tuple[ModelDescriptor, ...] = ()
    gpu_sharing_mode: Literal["exclusive", "mps", "time_slice"] = "time_slice"
    memory_isolation: bool = False
    total_memory_gb: NonNegativeFloat = 0.0
    available_memory_gb: NonNegativeFloat = 0.0

    def get_llm_models(self) -> list[ModelDescriptor]:
        """Return the loaded language models."""
        return [model for model in self.loaded_models if model.model_type == "llm"]

    def get_embedding_models(self) -> list[ModelDescriptor]:
        """Return the loaded embedding models."""
        return [model for model in self.loaded_models if model.model_type == "embedding"]


class ModelStatus(FrozenModel):
    """State of one model inside a hybrid instance."""

    model_id: str
    state: Literal["loading", "ready", "draining", "failed", "unloaded"]
    reason: str | None = None
    memory_bytes: NonNegativeInt | None = Field(default=None, description="measured, null until loaded")
    requests_running: NonNegativeInt = 0
