"""What is refused before anything starts, each with its reason, what to do instead, and who says so."""

from __future__ import annotations

from sage_infer_contracts.launch import Refusal, refusals_of

from .constraints import A2_AND_A3, CONSTRAINTS, ON_310P, WITHOUT_VLLM

WITHOUT_BF16 = ("310", "910A", *ON_310P)
WITHOUT_FP8 = (*WITHOUT_VLLM, *ON_310P, *A2_AND_A3)
_FEATURES = "vllm-project/vllm-ascend@182b75e: feature table"
_FP8 = (
    ("dtype", "fp8_e4m3"),
    ("dtype", "fp8_e5m2"),
    ("kv_schema.dtype", "fp8_e4m3"),
    ("kv_schema.dtype", "fp8_e5m2"),
    ("quantization", "fp8"),
    ("quantization", "mxfp8"),
    ("model.weights", "fp8"),
)

REFUSALS = (
    Refusal(
        setting="engine",
        value="vllm",
        chips=WITHOUT_VLLM,
        reason="vllm-ascend has builds for 310P, A2 (910B), A3 and A5 and none for this chip",
        alternative="engine=torch",
        source="vllm-project/vllm-ascend@182b75e: setup.py, get_chip_type(), and vllm_ascend/device/hardware.py",
    ),
    *(
        Refusal(
            setting=setting,
            value=value,
            chips=WITHOUT_FP8,
            reason="the chip has no fp8 units; of Ascend's only the 950 has",
            alternative="weights and KV in fp16; smaller weights with quantization=ascend (W8A8) in vLLM",
            source="vllm-project/vllm-ascend@182b75e: fp8 and mxfp8 on A5 only; Huawei msmodeling "
            "tensor_cast/device.py lists no fp8 for A2 and A3",
        )
        for setting, value in _FP8
    ),
    *(
        Refusal(
            setting=setting,
            value="bf16",
            chips=WITHOUT_BF16,
            reason="the chip has no bf16 units",
            alternative=f"{'kv_schema.dtype' if setting == 'kv_schema.dtype' else 'dtype'}=fp16",
            source="torch_npu's IsBF16Supported(): 910B1 and those numbered after it",
        )
        for setting in ("dtype", "model.dtype", "kv_schema.dtype")
    ),
    *(refusal for constraints in CONSTRAINTS for refusal in refusals_of(constraints)),
    Refusal(
        setting="quantization",
        allowed=("ascend", "compressed-tensors", "fp8", "mxfp8"),
        when={"engine": "vllm"},
        reason="vllm-ascend runs W8A8 ('ascend') and compressed-tensors, and fp8 on the 950",
        alternative="quantization=ascend, with weights converted to W8A8 by Huawei's ModelSlim",
        source=_FEATURES,
    ),
)
