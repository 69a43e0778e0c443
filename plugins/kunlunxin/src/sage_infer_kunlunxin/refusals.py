"""What is refused before anything starts. A setting that is not given is not refused.

Facts about vLLM-Kunlun are from baidu/vLLM-Kunlun@09869ee (0.15.1 dev).
"""

from __future__ import annotations

from sage_infer_contracts.launch import Refusal, refusals_of

from .constraints import CONSTRAINTS, PLATFORM

OLD_CHIPS = ("R300", "R200", "R200-8F", "RG800", "R100", "R420", "K200", "K100")
"""Chips before P800."""
_CHECK = f"{PLATFORM}, check_if_supports_dtype"
_FP8 = "nothing published on these chips has fp8 or fp4: P800's platform lists fp32, fp16, bf16 and int8"
_INT8_INSTEAD = "W8A8 int8 weights (quantization=compressed-tensors), quantization=awq or quantization=gptq"
_NO_SPLIT = "the releases of vLLM-Kunlun up to 0.15 have no prefill/decode separation and no KV connector"
_TREE = "baidu/vLLM-Kunlun@09869ee, whose tree has no KV connector and registers none"

REFUSALS = (
    *(
        Refusal(setting="quantization", value=value, reason=_FP8, alternative=_INT8_INSTEAD, source=_CHECK)
        for value in ("fp8", "fbgemm_fp8", "ptpc_fp8", "mxfp8", "modelopt")
    ),
    *(
        Refusal(setting="model.weights", value=value, reason=_FP8, alternative=_INT8_INSTEAD, source=_CHECK)
        for value in ("fp8", "fp4")
    ),
    Refusal(
        setting="dtype",
        allowed=("fp16", "bf16", "fp32"),
        reason="models are computed in fp16, bf16 or fp32 here; int8 is for quantised weights, and there is no fp8",
        alternative="dtype=fp16, with int8 weights if memory is short",
        source=_CHECK,
    ),
    Refusal(
        setting="backend.split_prefill",
        value="true",
        when={"engine": "vllm"},
        reason=_NO_SPLIT,
        alternative="one instance for prefill and decode (instance type hybrid), or engine=torch",
        source=_TREE,
    ),
    Refusal(
        setting="backend.kv_export",
        value="true",
        when={"engine": "vllm"},
        reason=f"{_NO_SPLIT}, and its swap_blocks and copy_blocks are not implemented",
        alternative="compute the prefix again where it is needed, or engine=torch",
        source=PLATFORM,
    ),
    Refusal(
        setting="kv_transfer_config",
        when={"engine": "vllm"},
        reason=_NO_SPLIT,
        alternative="vLLM's own prefix cache on the device",
        source=_TREE,
    ),
    Refusal(
        setting="engine",
        value="vllm",
        chips=OLD_CHIPS,
        reason="vLLM-Kunlun does not support the K and R series: it is for Kunlun3 (P800) only",
        alternative="a P800, or PaddlePaddle's XPU build outside this stack",
        source="baidu/vLLM-Kunlun docs/source/faqs.md",
    ),
    *(refusal for constraints in CONSTRAINTS for refusal in refusals_of(constraints)),
)
