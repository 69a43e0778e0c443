"""What a running embedding engine is, and the settings that make it give the vectors its folder asks for."""

from __future__ import annotations

from typing import Any

import attrs

from sage_infer_contracts.backend import BackendConfig
from sage_infer_contracts.capabilities import Capability
from sage_infer_contracts.descriptors import CapabilityDescriptor
from sage_infer_contracts.engines.sentence_folder import EncoderFolder
from sage_infer_contracts.errors import Unsupported
from sage_infer_contracts.kv import KVCacheSchema
from sage_infer_contracts.names import DType, InstanceType

from ..description import precisions
from ..kv_report import schema_of
from .texts import Texts

_POOLING = {"mean": "MEAN", "cls": "CLS", "last": "LAST"}


def capabilities_of(config: BackendConfig) -> frozenset[str]:
    """Return what a backend of ``config`` can do."""
    parallel = {Capability.BACKEND_TENSOR_PARALLEL.value} if config.tensor_parallel_size > 1 else set()
    return frozenset({Capability.BACKEND_EMBEDDING.value, Capability.EMBEDDING_TRUNCATES.value} | parallel)


def engine_config(config: BackendConfig, texts: Texts) -> BackendConfig:
    """Return ``config`` with the model and length that the folder means, which vLLM would read only in part."""
    model = config.model.model_copy(update={"path": str(texts.folder.transformer)})
    return config.model_copy(update={"model": model, "max_sequence_length": texts.max_tokens})


def pooler_of(folder: EncoderFolder) -> dict[str, str | bool]:
    """Return the fields of vLLM's ``PoolerConfig`` that make vectors as ``folder`` says."""
    return {"seq_pooling_type": _POOLING[folder.pooling], "use_activation": folder.normalize}


@attrs.frozen(slots=True)
class Description:
    """Limits, vectors and KV of one started engine."""

    dimension: int
    max_tokens: int
    max_batch_size: int
    precisions: tuple[DType, ...]
    quantization: str | None
    schema: KVCacheSchema | None
    num_blocks: int

    @property
    def usable_blocks(self) -> int:
        """Blocks that requests can hold: vLLM keeps one of the pool for itself, and an encoder's pool is that one."""
        return max(0, self.num_blocks - 1)

    def capability(self, config: BackendConfig, max_waiting: int) -> CapabilityDescriptor:
        """Return the descriptor; hints are null, nothing was measured."""
        capacity = self.num_blocks * self.schema.block_bytes if self.schema else 0
        return CapabilityDescriptor(
            backend_name="vllm",
            instance_type=InstanceType.EMBEDDING,
            hardware_backend=config.device,
            max_batch_size=self.max_batch_size,
            max_sequence_length=self.max_tokens,
            kv_cache_capacity_gb=capacity / 1e9,
            supported_precisions=self.precisions,
            kv_schema=self.schema,
            quant_profile_id=self.quantization,
            capabilities=capabilities_of(config),
            max_waiting_requests=max_waiting,
        )


def describe(config: BackendConfig, llm: Any, texts: Texts, report: dict[str, Any]) -> Description:
    """Read the description of ``llm``, whose worker gave ``report``; the dimension is not known yet, and 0.

    Raises ``Unsupported`` when the engine does not pool as the folder says, or has no KV for a configured size.
    """
    model = llm.vllm_config.model_config
    for name, wanted in pooler_of(texts.folder).items():
        found = getattr(model.pooler_config, name)
        if found != wanted:
            raise Unsupported(f"vLLM pools with {name} {found}, and the model needs {wanted}", param="model")
    if config.kv_cache_memory_bytes is not None and not report["tensor_bytes"]:
        raise Unsupported(
            "this model keeps no KV cache, so kv_cache_memory_bytes has no meaning",
            param="kv_cache_memory_bytes",
        )
    return Description(
        dimension=0,
        max_tokens=min(texts.max_tokens, model.max_model_len),
        max_batch_size=llm.vllm_config.scheduler_config.max_num_seqs,
        precisions=precisions(),
        quantization=model.quantization,
        schema=_schema(report),
        num_blocks=report["num_blocks"],
    )


def _schema(report: dict[str, Any]) -> KVCacheSchema | None:
    """Return the schema of KV that is really kept: an encoder's layers are listed, and hold none."""
    if not report["tensor_bytes"]:
        return None
    try:
        return schema_of(report)
    except Unsupported:
        return None
