"""What vLLM-Kunlun asks of KV blocks, as data."""

from __future__ import annotations

from sage_infer_contracts.constraints import KVConstraints

PLATFORM = "baidu/vLLM-Kunlun@09869ee vllm_kunlun/platforms/kunlun.py"

CONSTRAINTS = (
    KVConstraints(
        dtypes=("fp16", "bf16", "fp32", "int8"),
        swap=False,
        engine="vllm",
        source=f"{PLATFORM}, check_if_supports_dtype; swap_blocks and copy_blocks are not implemented",
    ),
    KVConstraints(
        block_sizes=(64,),
        engine="vllm",
        when={"model.attention": "mla"},
        source=f"{PLATFORM}, check_and_update_config forces 64 with FlashMLA and sparse MLA",
    ),
)
"""With other attention any page size is passed on: 16 is the platform's default, and its guide runs 128."""
