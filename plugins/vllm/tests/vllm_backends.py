"""Backends of the adapter, small enough for the tests' machine."""

from __future__ import annotations

from typing import Any

from sage_infer_contracts.backend import BackendConfig, ModelLocation
from sage_infer_contracts.launch import BackendContext
from sage_infer_vllm.plugin import create

KV_BYTES = 1 << 30
SMALL = {
    "dtype": "fp32",  # on a processor with bf16 instructions vLLM takes that, in which batches change tokens
    "max_sequence_length": 2048,
    "max_batch_size": 8,
    "max_waiting_requests": 40,
    "kv_cache_memory_bytes": KV_BYTES,
}
QUICK = {"enforce_eager": True}


def unstarted(model_path: str, options: dict[str, Any] | None = None, **settings: Any) -> Any:
    """A backend that has not been started."""
    config = BackendConfig(
        model=ModelLocation(model_id="demo", path=model_path),
        options={**QUICK, **(options or {})},
        **{**SMALL, **settings},
    )
    return create(config, BackendContext())
