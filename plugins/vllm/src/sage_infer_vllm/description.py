"""What a running vLLM is, read from its own configuration, its platform and its workers' KV."""

from __future__ import annotations

from typing import Any

import attrs

from sage_infer_contracts.backend import BackendConfig
from sage_infer_contracts.capabilities import Capability
from sage_infer_contracts.descriptors import CapabilityDescriptor
from sage_infer_contracts.engines.limits import RequestLimits
from sage_infer_contracts.errors import InvalidRequest, Unsupported
from sage_infer_contracts.kv import KVCacheSchema
from sage_infer_contracts.names import DType

from .kv_report import schema_of

DEFAULT_WAITING_REQUESTS = 256
_ALWAYS = (
    Capability.BACKEND_GENERATE,
    Capability.BACKEND_LOGPROBS,
    Capability.BACKEND_PARALLEL_SAMPLING,
    Capability.BACKEND_PENALTIES,
    Capability.BACKEND_LOGIT_BIAS,
    Capability.BACKEND_MIN_P,
    Capability.BACKEND_MIN_TOKENS,
    Capability.BACKEND_STRUCTURED_OUTPUT,
)
_DTYPES: dict[str, DType] = {"torch.float32": "fp32", "torch.float16": "fp16", "torch.bfloat16": "bf16"}


@attrs.frozen(slots=True)
class Description:
    """Limits, capabilities and KV of one started engine."""

    limits: RequestLimits
    max_logprobs: int
    schema: KVCacheSchema | None
    no_schema_reason: str
    num_blocks: int
    capabilities: frozenset[str]
    precisions: tuple[DType, ...]
    quantization: str | None

    @property
    def usable_blocks(self) -> int:
        """Blocks that requests can hold: vLLM keeps one of the pool for itself."""
        return max(0, self.num_blocks - 1)

    def capability(self, config: BackendConfig) -> CapabilityDescriptor:
        """Return the descriptor; hints are null, nothing was measured."""
        capacity = self.num_blocks * self.schema.block_bytes if self.schema else 0
        return CapabilityDescriptor(
            backend_name="vllm",
            hardware_backend=config.device,
            max_batch_size=self.limits.max_batch_size,
            max_sequence_length=self.limits.max_sequence_length,
            kv_cache_capacity_gb=capacity / 1e9,
            supported_precisions=self.precisions,
            kv_schema=self.schema,
            quant_profile_id=self.quantization,
            capabilities=self.capabilities,
            max_waiting_requests=self.limits.max_waiting_requests,
        )


def describe(config: BackendConfig, llm: Any, report: dict[str, Any], *, can_park: bool) -> Description:
    """Read the description of ``llm``, whose worker gave ``report``.

    Raises ``InvalidRequest`` when the KV is not what ``config.kv_schema`` asked for.
    """
    engine, model = llm.vllm_config, llm.vllm_config.model_config
    schema, reason = _schema(report)
    _require_schema(config, schema, reason)
    waiting = config.max_waiting_requests
    return Description(
        limits=RequestLimits(
            max_sequence_length=model.max_model_len,
            max_batch_size=engine.scheduler_config.max_num_seqs,
            max_waiting_requests=DEFAULT_WAITING_REQUESTS if waiting is None else waiting,
            vocabulary=model.get_vocab_size(),
        ),
        max_logprobs=model.max_logprobs,
        schema=schema,
        no_schema_reason=reason,
        num_blocks=report["num_blocks"],
        capabilities=_capabilities(engine, can_park=can_park),
        precisions=precisions(),
        quantization=model.quantization,
    )


def _schema(report: dict[str, Any]) -> tuple[KVCacheSchema | None, str]:
    try:
        return schema_of(report), ""
    except Unsupported as error:
        return None, str(error)


def _require_schema(config: BackendConfig, schema: KVCacheSchema | None, reason: str) -> None:
    if config.kv_schema is None:
        return
    problems = [reason] if schema is None else config.kv_schema.mismatches(schema)
    if problems:
        raise InvalidRequest(
            f"vLLM on {config.device} does not keep the KV that was asked for: {'; '.join(problems)}",
            param="kv_schema",
        )


def _capabilities(engine: Any, *, can_park: bool) -> frozenset[str]:
    conditional = {
        Capability.BACKEND_SPLIT_PREFILL: can_park,
        Capability.BACKEND_PREFIX_REUSE: engine.cache_config.enable_prefix_caching,
        Capability.BACKEND_CHUNKED_PREFILL: engine.scheduler_config.enable_chunked_prefill,
        Capability.BACKEND_TENSOR_PARALLEL: engine.parallel_config.tensor_parallel_size > 1,
    }
    return frozenset({*_ALWAYS, *(capability for capability, holds in conditional.items() if holds)})


def precisions() -> tuple[DType, ...]:
    """Return the precisions that vLLM computes in on this platform."""
    from vllm.platforms import current_platform

    return tuple(_DTYPES[str(dtype)] for dtype in current_platform.supported_dtypes if str(dtype) in _DTYPES)
