"""What vLLM's platform for DCU demands of KV blocks, as data.

"vllm-plugin-das" is HYGON-AI/vllm-plugin-das, Hygon's own plugin, read in a public mirror.
"""

from __future__ import annotations

from sage_infer_contracts.constraints import KVConstraints
from sage_infer_contracts.kv import KVLayout

WITHOUT_FP8 = ("Z100", "Z100L", "K100", "K100_LC", "K100_AI", "K500SM_AI", "BW1000")
"""Chips of which a source names another architecture: gfx906, gfx906, gfx926, gfx926, gfx928, gfx928 and gfx936.

BW1100 is gfx938, the only one that the platform computes FP8 on; of the others nobody says."""
PLATFORM = "vllm-plugin-das vllm_hcu/platforms/hcu.py"
TOKEN_FIRST = KVLayout(axes=("kv", "block", "token", "head", "dim"))
HEAD_FIRST = KVLayout(axes=("kv", "block", "head", "token", "dim"))

CONSTRAINTS = (
    KVConstraints(
        layouts=(TOKEN_FIRST, HEAD_FIRST),
        swap=True,
        engine="vllm",
        source=f"{PLATFORM}: swap_out_blocks_to_host and insert_blocks_to_device; layouts are those of vLLM on ROCm, "
        "NHD, or HND by VLLM_KV_CACHE_LAYOUT (docs/aiter_quantized_moe_validation.md)",
    ),
)
"""Block sizes are open: the platform takes 16 with Triton's attention, 64 or 128 with flash attention and 64 with
FlashMLA unless asked otherwise, and wants multiples of 16 where flash attention is asked for an alignment. Dtypes are
open too: KV in fp8_e4m3 is in Hygon's launch commands for BW1100, and no source says on which
chips it is not to be had."""
