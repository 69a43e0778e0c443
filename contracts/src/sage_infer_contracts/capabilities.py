"""Names of what a plugin can do.

A plugin declares a flat set of these. Declared and absent is a violation; undeclared must refuse with
:class:`~sage_infer_contracts.errors.Unsupported`. The set is open: a plugin may declare names of its own,
prefixed with its distribution, e.g. ``sage-infer-acme.fast_path``.
"""

from __future__ import annotations

from enum import StrEnum


class Capability(StrEnum):
    """Capability names known to the contract."""

    BACKEND_GENERATE = "backend.generate"
    BACKEND_SPLIT_PREFILL = "backend.split_prefill"
    BACKEND_PREFIX_REUSE = "backend.prefix_reuse"
    BACKEND_CHUNKED_PREFILL = "backend.chunked_prefill"
    BACKEND_KV_EXPORT = "backend.kv_export"
    BACKEND_LOGPROBS = "backend.logprobs"
    BACKEND_PARALLEL_SAMPLING = "backend.parallel_sampling"
    BACKEND_PENALTIES = "backend.penalties"
    BACKEND_LOGIT_BIAS = "backend.logit_bias"
    BACKEND_MIN_P = "backend.min_p"
    BACKEND_MIN_TOKENS = "backend.min_tokens"
    BACKEND_STRUCTURED_OUTPUT = "backend.structured_output"
    BACKEND_QUANTIZATION = "backend.quantization"
    BACKEND_TENSOR_PARALLEL = "backend.tensor_parallel"
    BACKEND_EMBEDDING = "backend.embedding"
    EMBEDDING_TRUNCATES = "embedding.truncates"
    HYBRID_MODEL_LIFECYCLE = "hybrid.model_lifecycle"
    DETECTOR_LINKS = "detector.links"
    DETECTOR_UTILISATION = "detector.utilisation"
    TIER_PERSISTENT = "tier.persistent"
    TIER_SHARED = "tier.shared"
    EVICTION_PREFIX_CLOSED = "eviction.prefix_closed"
    TRANSPORT_REMOTE = "transport.remote"
    TRANSPORT_RDMA = "transport.rdma"
    TRANSPORT_ZERO_COPY = "transport.zero_copy"
