"""What vllm-mlu demands of KV blocks. "vllm-mlu@HASH" is Cambricon/vllm-mlu at that commit, read in a public mirror."""

from __future__ import annotations

from sage_infer_contracts.constraints import KVConstraints
from sage_infer_contracts.kv import KVLayout

from .chips import chip_names

HEAD_FIRST = KVLayout(axes=("kv", "block", "head", "token", "dim"))
"""One layer's KV: (2, blocks, KV heads, block size, head size)."""
HEAD_SIZES = (32, 64, 80, 96, 128, 160, 192, 224, 256, 512, 576)
"""Head sizes of the attention kernel: vllm-mlu@8fa99fd vllm_mlu/v1/attention/backends/flash_attn.py."""
MLU370 = chip_names("MLU370", "MLU365")
"""Boards with chips of major version 3."""
WITHOUT_FP8_KV = (*MLU370, *chip_names("MLU590"))
"""Chips before major version 6."""

CONSTRAINTS = (
    KVConstraints(
        layouts=(HEAD_FIRST,),
        dtypes=("fp16", "bf16", "int8", "fp8_e4m3"),
        engine="vllm",
        source="vllm-mlu@8fa99fd v1/attention/backends/flash_attn.py get_kv_cache_shape; engine/arg_utils.py: "
        "kv_cache_dtype int8, fp8 and fp8_e4m3 besides the model's own",
    ),
    KVConstraints(
        dtypes=("fp16", "bf16", "int8"),
        engine="vllm",
        chips=WITHOUT_FP8_KV,
        source="vllm-mlu@8fa99fd engine/arg_utils.py: a KV cache in fp8 is for MLU of major version 6 and later",
    ),
    KVConstraints(
        dtypes=("fp16", "fp32", "int8"),
        chips=MLU370,
        source="torch_mlu is_bf16_supported: bf16 is for chips of major version 5 and later",
    ),
)
"""Block sizes are open: 16 unless asked otherwise, and 1 is used with DeepSeek (README of vllm-mlu@b992520).

Whether blocks can be swapped while it serves is said nowhere, so it is left open.
"""
