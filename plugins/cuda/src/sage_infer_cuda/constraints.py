"""What NVIDIA's platform demands of KV blocks, as data."""

from __future__ import annotations

from sage_infer_contracts.constraints import KVConstraints

CONSTRAINTS = (
    KVConstraints(
        block_sizes=(16, 32, 64, 128, 256),
        dtypes=("fp16", "bf16", "fp32", "fp8_e4m3", "fp8_e5m2"),
        engine="vllm",
        source="vLLM, v1/attention/backends: blocks of CUDA kernels are multiples of 16; "
        "the sizes those of its option block_size, the dtypes the model's and those of kv_cache_dtype",
    ),
    KVConstraints(
        swap=True,
        engine="torch",
        source="torch copies between pinned host memory and torch.cuda on a stream of its own while others compute",
    ),
)
"""The order of axes depends on the attention backend that vLLM picks, so none is promised."""
