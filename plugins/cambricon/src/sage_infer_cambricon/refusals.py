"""What cannot run on Cambricon, refused before anything starts, with the reason and what to do instead.

"vllm-mlu@HASH" is Cambricon/vllm-mlu at that commit, read in a public mirror; "id N" is an indexed public page.
"""

from __future__ import annotations

from sage_infer_contracts.launch import Refusal, refusals_of

from .chips import chip_names
from .constraints import CONSTRAINTS, MLU370

_VLLM = {"engine": "vllm"}
_MLA = {"engine": "vllm", "model.attention": "mla"}
_BEFORE_370 = chip_names("MLU290", "MLU270", "MLU220", "MLU100")
_ARGUMENTS = "vllm-mlu@8fa99fd engine/arg_utils.py"
_DISAGGREGATED = "vllm-mlu@b992520 engine/arg_utils.py, checks of kv_transfer_config"


def _chips() -> tuple[Refusal, ...]:
    return (
        Refusal(
            setting="engine",
            value="vllm",
            chips=_BEFORE_370,
            reason="vllm-mlu is for MLU370 and later",
            alternative="an engine of Cambricon's own for these chips, such as MagicMind",
            source="README of vllm-mlu@208b86f",
        ),
        *(
            Refusal(
                setting=setting,
                value="bf16",
                chips=(*MLU370, *_BEFORE_370),
                when=when,
                reason="torch_mlu computes in bf16 on chips of major version 5 and later only",
                alternative="dtype=fp16",
                source="torch_mlu/mlu/__init__.py, is_bf16_supported",
            )
            # The engine torch takes the device's own dtype for a model that asks for none; vLLM takes the model's.
            for setting, when in (("dtype", {}), ("model.dtype", _VLLM))
        ),
        *(
            Refusal(
                setting=setting,
                value="fp8",
                chips=(*MLU370, *_BEFORE_370),
                reason="the chip has no fp8",
                alternative="weights in smoothquant (W8A8), weightonly, awq_mlu or gptq_mlu, which vllm-mlu has",
                source="the formats of MLU370 in chips.json; fp8 of vllm-mlu is for newer chips (its README, @b992520)",
            )
            for setting in ("quantization", "model.weights")
        ),
        *(
            Refusal(
                setting="dtype",
                value=dtype,
                reason="fp8 is a format of weights and KV here, and no dtype to compute a model in",
                alternative="dtype=fp16, with weights in fp8 where the chip has it",
                source=f"{_ARGUMENTS}, V1_SUPPORTED_DTYPES; dtypes of the device runtime",
            )
            for dtype in ("fp8_e4m3", "fp8_e5m2")
        ),
    )


def _vllm() -> tuple[Refusal, ...]:
    return (
        *(
            Refusal(
                setting=setting,
                value="true",
                when=_MLA,
                reason="vllm-mlu turns chunked prefill off for MLA models with MTP, MCC or without full graphs, and "
                "only warns, so what runs would not be what was asked for",
                alternative="enable_chunked_prefill=false",
                source="vllm-mlu@8fa99fd and @b992520, platforms/mlu.py",
            )
            for setting in ("enable_chunked_prefill", "backend.chunked_prefill")
        ),
        Refusal(
            setting="dtype",
            value="fp32",
            when=_VLLM,
            reason="vllm-mlu serves fp16 and bf16",
            alternative="dtype=fp16, or the engine torch, which computes in fp32",
            source=f"{_ARGUMENTS}, V1_SUPPORTED_DTYPES",
        ),
        Refusal(
            setting="quantization",
            allowed=("weightonly", "smoothquant", "awq_mlu", "gptq_mlu", "awq", "gptq", "fp8"),
            when=_VLLM,
            reason="vllm-mlu has kernels for these only; awq and gptq are taken over by awq_mlu and gptq_mlu",
            alternative="quantization=smoothquant",
            source="vllm-mlu@8fa99fd platforms/mlu.py, supported_quantization",
        ),
        Refusal(
            setting="backend.embedding",
            value="true",
            when=_VLLM,
            reason="vllm-mlu runs models that generate, and no other task",
            alternative="the embedding backend torch (--embedding-backend torch), beside this one",
            source=_ARGUMENTS,
        ),
    )


def _disaggregation() -> tuple[Refusal, ...]:
    connector = {"engine": "vllm", "kv_connector": "LMCacheConnectorV1"}
    return (
        Refusal(
            setting="kv_connector",
            allowed=("LMCacheConnectorV1",),
            when=_VLLM,
            reason="vllm-mlu moves KV between engines by LMCacheConnectorV1 only",
            alternative="kv_connector=LMCacheConnectorV1 with DeepSeek-V3 or R1, or one engine for both phases",
            source=_DISAGGREGATED,
        ),
        Refusal(
            setting="model.type",
            allowed=("deepseek_v3",),
            when=connector,
            reason="vllm-mlu separates prefill and decode for DeepSeek-V3 and R1 only",
            alternative="one engine for both phases",
            source=_DISAGGREGATED,
        ),
        Refusal(
            setting="kv_schema.dtype",
            value="int8",
            when=connector,
            reason="KV in int8 is not moved between engines",
            alternative="kv_schema.dtype=fp16",
            source=_DISAGGREGATED,
        ),
        *(
            Refusal(
                setting=setting,
                value="true",
                when=connector,
                reason="prefix caching and separate prefill exclude each other",
                alternative=f"{setting}=false",
                source=_DISAGGREGATED,
            )
            for setting in ("prefix_cache", "enable_prefix_caching")
        ),
    )


REFUSALS: tuple[Refusal, ...] = (
    *_chips(),
    *_vllm(),
    *_disaggregation(),
    *(refusal for constraints in CONSTRAINTS for refusal in refusals_of(constraints)),
)
