"""What cannot run on DCU, refused before anything starts, with the reason and what to do instead.

"id N" is an indexed public page; "vllm-plugin-das" is Hygon's plugin for vLLM, "cookbook" its inference-cookbook-das.
"""

from __future__ import annotations

from sage_infer_contracts.launch import Refusal, refusals_of

from .constraints import CONSTRAINTS, PLATFORM, WITHOUT_FP8

_VLLM = {"engine": "vllm"}
_COOKBOOK = "cookbook, Qwen3.5 on K100_AI; its launchers for BW crash on K100_AI"


def _without_fp8() -> tuple[Refusal, ...]:
    return tuple(
        Refusal(
            setting=setting,
            value=value,
            chips=WITHOUT_FP8,
            reason="DCUs compute FP8 on architecture gfx938 alone, which this chip is not",
            alternative="dtype=fp16, or weights in W8A8 INT8; BW1100 (gfx938) computes FP8",
            source=f"{PLATFORM}: supports_fp8; architectures: chips.json",
        )
        for setting, value in (
            ("dtype", "fp8_e4m3"),
            ("dtype", "fp8_e5m2"),
            ("quantization", "fp8"),
            ("quantization", "fp8_per_tensor"),
            ("quantization", "fp8_per_block"),
            ("quantization", "fbgemm_fp8"),
            ("quantization", "deepseek_v4_fp8"),
            ("model.weights", "fp8"),
        )
    )


def _without_kernels() -> tuple[Refusal, ...]:
    """Methods that the platform's list has as comments."""
    return tuple(
        Refusal(
            setting=setting,
            value=value,
            when=_VLLM,
            reason="vLLM's platform for DCU leaves it out of its list of quantisations",
            alternative="weights in awq, gptq, compressed-tensors or slimquant_w4a8",
            source=f"{PLATFORM}: supported_quantization",
        )
        for setting, value in (
            ("quantization", "bitsandbytes"),
            ("quantization", "mxfp4"),
            ("model.weights", "fp4"),
        )
    )


def _attention() -> tuple[Refusal, ...]:
    return (
        Refusal(
            setting="attention_backend",
            value="FLASH_ATTN_CUSTOM",
            chips=("K100_AI",),
            when=_VLLM,
            reason="Hygon runs it on BW1000 and later, and its launchers that use it crash here",
            alternative="attention_backend=TRITON_ATTN",
            source=_COOKBOOK,
        ),
        Refusal(
            setting="decode_context_parallel_size",
            allowed=("1",),
            when={"engine": "vllm", "cudagraph_mode": "FULL"},
            reason="the platform replaces full graphs by piecewise ones there and does not say so, so what runs would "
            "not be what was asked for",
            alternative="cudagraph_mode=PIECEWISE",
            source=f"{PLATFORM}: check_and_update_config",
        ),
    )


REFUSALS: tuple[Refusal, ...] = (
    *_without_fp8(),
    *_without_kernels(),
    *_attention(),
    *(refusal for constraints in CONSTRAINTS for refusal in refusals_of(constraints)),
)
