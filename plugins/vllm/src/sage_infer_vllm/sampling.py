"""Sampling parameters of the contract as vLLM's, exactly or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sage_infer_contracts.errors import InvalidRequest
from sage_infer_contracts.sampling import SamplingParams

SMALLEST_TEMPERATURE = 0.01
LARGEST_TEMPERATURE = 2.0
"""vLLM raises lower temperatures to the first without saying so, and refuses higher ones than the second."""

LARGEST_LOGIT_BIAS = 100.0
_MINUS_ONE_AS_UNSIGNED = 2**64 - 1


def check_params(params: SamplingParams, *, max_logprobs: int, vocabulary: int) -> None:
    """Raise ``InvalidRequest`` naming the first parameter that vLLM would not take as it is (IB-03)."""
    temperature = params.temperature
    if not params.greedy and not SMALLEST_TEMPERATURE <= temperature <= LARGEST_TEMPERATURE:
        raise InvalidRequest(
            f"temperature {temperature:g} is outside what vLLM takes: 0, or {SMALLEST_TEMPERATURE:g} to "
            f"{LARGEST_TEMPERATURE:g}",
            param="temperature",
        )
    if params.logprobs is not None and 0 <= max_logprobs < params.logprobs:
        raise InvalidRequest(
            f"logprobs {params.logprobs} is above this engine's limit of {max_logprobs}", param="logprobs"
        )
    for token in params.stop_token_ids:
        if token >= vocabulary:
            raise InvalidRequest(
                f"stop token {token} is no token id; they are 0 to {vocabulary - 1}", param="stop_token_ids"
            )
    for token, bias in (params.logit_bias or {}).items():
        if not 0 <= token < vocabulary or not abs(bias) <= LARGEST_LOGIT_BIAS:
            raise InvalidRequest(
                f"logit_bias {token}: {bias:g} is refused: token ids are 0 to {vocabulary - 1}, biases "
                f"-{LARGEST_LOGIT_BIAS:g} to {LARGEST_LOGIT_BIAS:g}",
                param="logit_bias",
            )


def to_vllm(
    params: SamplingParams, *, max_tokens: int, seed: int | None, extra_args: Mapping[str, str] | None = None
) -> Any:
    """Return vLLM's parameters for one sequence of a checked request; ``n`` is the caller's business."""
    from vllm.sampling_params import RequestOutputKind, SamplingParams as VLLMParams, StructuredOutputsParams

    schema = params.json_schema
    return VLLMParams(
        max_tokens=max_tokens,
        temperature=params.temperature,
        top_p=params.top_p,
        top_k=params.top_k,
        min_p=params.min_p,
        # vLLM takes -1 for "no seed"; the same bits as an unsigned number seed its generator alike.
        seed=_MINUS_ONE_AS_UNSIGNED if seed == -1 else seed,
        stop=list(params.stop),
        stop_token_ids=list(params.stop_token_ids),
        ignore_eos=params.ignore_eos,
        min_tokens=params.min_tokens,
        repetition_penalty=params.repetition_penalty,
        presence_penalty=params.presence_penalty,
        frequency_penalty=params.frequency_penalty,
        logit_bias=dict(params.logit_bias) if params.logit_bias else None,
        logprobs=params.logprobs,
        structured_outputs=StructuredOutputsParams(json=schema) if schema is not None else None,
        extra_args=dict(extra_args) if extra_args else None,
        output_kind=RequestOutputKind.DELTA,
        skip_clone=True,
    )
