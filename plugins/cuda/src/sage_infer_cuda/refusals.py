"""What an NVIDIA GPU cannot do, by its compute capability, refused before an engine is started."""

from __future__ import annotations

from sage_infer_contracts.launch import Refusal

from .chips import CHIPS

_NO_FP8 = "arithmetic and conversions in FP8 need compute capability 8.9 (Ada, Hopper and later)"
_GUIDE = "CUDA C++ Programming Guide, tensor-core types by compute capability"


def without(dtype: str) -> tuple[str, ...]:
    """Return the names of chips whose dtypes are known and do not have ``dtype``."""
    return tuple(chip.name for chip in CHIPS.chips if chip.dtypes and dtype not in chip.dtypes)


def before_volta() -> tuple[str, ...]:
    """Return the names of chips below compute capability 7.0, as their notes say it."""
    return tuple(chip.name for chip in CHIPS.chips if chip.notes.startswith(("compute capability 6.",)))


REFUSALS = (
    Refusal(
        setting="dtype",
        value="bf16",
        chips=without("bf16"),
        reason="bfloat16 needs compute capability 8.0 (Ampere and later)",
        alternative="dtype=fp16",
        source=f"{_GUIDE}; vLLM: Bfloat16 is only supported on GPUs with compute capability of at least 8.0",
    ),
    *(
        Refusal(
            setting="dtype",
            value=value,
            chips=without(value),
            reason=_NO_FP8,
            alternative="dtype=auto",
            source=_GUIDE,
        )
        for value in ("fp8_e4m3", "fp8_e5m2")
    ),
    Refusal(
        setting="kv_schema.dtype",
        value="fp8_e4m3",
        chips=without("fp8_e4m3"),
        reason=_NO_FP8,
        alternative="KV in the model's own dtype: leave kv_schema.dtype out",
        source=f"{_GUIDE}; Triton: type fp8e4nv not supported in this architecture",
    ),
    Refusal(
        setting="engine",
        value="vllm",
        chips=before_volta(),
        reason="vLLM's builds for CUDA need compute capability 7.0 or higher",
        alternative="engine torch, with a build of torch that still has code for this GPU",
        source="vLLM's installation guide for NVIDIA GPUs, requirements",
    ),
)
