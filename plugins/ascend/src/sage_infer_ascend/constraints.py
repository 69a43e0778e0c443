"""What vllm-ascend's attention kernels ask of KV blocks, as data; the native engine gathers blocks of any size."""

from __future__ import annotations

from sage_infer_contracts.constraints import KVConstraints
from sage_infer_contracts.kv import KVLayout

ON_310P = ("310P1", "310P3", "310P")
A2_AND_A3 = ("910B1", "910B2", "910B2C", "910B3", "910B4", "910B4-1", "910C", "910C-752T", "910C-560T")
A5 = ("950PR", "950DT")
WITHOUT_VLLM = ("310", "310B", "910A")
"""Chips that vllm-ascend has no build for."""

_SOURCE = "vllm-project/vllm-ascend@182b75e: attention backends and feature table"
_AXES = KVLayout(axes=("kv", "block", "token", "head", "dim"))

CONSTRAINTS = (
    KVConstraints(
        block_sizes=(128, 64),
        layouts=(KVLayout(packing="ascend-nz16"),),
        dtypes=("fp16",),
        swap=True,
        engine="vllm",
        chips=ON_310P,
        source=f"{_SOURCE}; five dimensions there, the head split by 16, in the order NZ of 310P's matrix unit",
    ),
    KVConstraints(
        block_sizes=(128,),
        layouts=(_AXES,),
        dtypes=("bf16", "fp16"),
        swap=True,
        engine="vllm",
        chips=A2_AND_A3,
        source=f"{_SOURCE}; blocks of 256 and 512 are for sparse attention alone",
    ),
    KVConstraints(
        block_sizes=(128,),
        layouts=(_AXES,),
        swap=True,
        engine="vllm",
        chips=A5,
        source=f"{_SOURCE}; the chip has fp8 besides bf16 and fp16",
    ),
    KVConstraints(
        block_sizes=(128, 64),
        engine="vllm",
        source=f"{_SOURCE}; 128 goes on every chip, 64 on 310P alone",
    ),
)
"""For each kind of chip, and last for one that is not known."""
