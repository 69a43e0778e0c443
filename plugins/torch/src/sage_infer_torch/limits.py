"""Limits: what a running engine accepts, resolved once at start and enforced before work starts (IB-03)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs

from sage_infer_contracts.backend import BackendConfig
from sage_infer_contracts.engines.limits import RequestLimits
from sage_infer_contracts.errors import CapacityExceeded, InvalidRequest
from sage_infer_contracts.kv import KVCacheSchema
from sage_infer_contracts.sampling import SamplingParams

from .options import EngineOptions

if TYPE_CHECKING:
    from .model import LoadedModel

DEFAULT_BATCH_SIZE = 16
DEFAULT_BATCHED_TOKENS = 512
DEFAULT_WAITING_REQUESTS = 256
TYPICAL_SEQUENCE_TOKENS = 2048
"""The default pool holds one sequence of the longest length, and this much for each other one that may run."""

FREE_MEMORY_SHARE = 0.25
"""Share of free device memory that the KV pool takes at most when no size is configured."""


@attrs.frozen(slots=True)
class EngineLimits(RequestLimits):
    """What is enforced, and what the scheduler works with."""

    num_blocks: int
    max_batched_tokens: int
    watermark_blocks: int
    prefill_chunk_tokens: int | None

    def check(self, prompt: Sequence[int], params: SamplingParams) -> None:
        """Raise ``InvalidRequest`` naming the limit that ``prompt`` with ``params`` breaks, or the unknown token."""
        RequestLimits.check(self, prompt, params)
        if params.logprobs is not None and params.logprobs > self.vocabulary:
            raise InvalidRequest(
                f"logprobs is {params.logprobs}, and the vocabulary has {self.vocabulary} tokens",
                param="logprobs",
            )
        biases = params.logit_bias or {}
        for param, tokens in (("stop_token_ids", params.stop_token_ids), ("logit_bias", tuple(biases))):
            for token in tokens:
                if not 0 <= token < self.vocabulary:
                    raise InvalidRequest(
                        f"{param} names {token}, which is no token id; they are 0 to {self.vocabulary - 1}",
                        param=param,
                    )
        for token, bias in biases.items():
            if not math.isfinite(bias):
                raise InvalidRequest(
                    f"logit_bias of token {token} is {bias}, not a number", param="logit_bias"
                )


def resolve_limits(
    config: BackendConfig, options: EngineOptions, model: LoadedModel, schema: KVCacheSchema, free_bytes: int
) -> EngineLimits:
    """Choose what ``config`` leaves open, so that a sequence of the longest length always fits the pool.

    Raises ``InvalidRequest`` for settings that contradict the model or each other, ``CapacityExceeded`` when
    the memory holds no KV at all.
    """
    batch = config.max_batch_size or DEFAULT_BATCH_SIZE
    wanted = _wanted_length(config, model)
    tokens = wanted + (batch - 1) * min(wanted, TYPICAL_SEQUENCE_TOKENS)
    num_blocks = _num_blocks(config, schema, free_bytes, tokens=tokens)
    pool_tokens = num_blocks * schema.page_size
    if config.max_sequence_length is not None and pool_tokens < wanted:
        raise InvalidRequest(
            f"max_sequence_length is {wanted}, but the KV pool of {num_blocks * schema.block_bytes} bytes holds "
            f"{pool_tokens} tokens; raise kv_cache_memory_bytes or lower max_sequence_length",
            param="kv_cache_memory_bytes",
        )
    waiting = config.max_waiting_requests
    return EngineLimits(
        num_blocks=num_blocks,
        vocabulary=model.vocabulary,
        max_sequence_length=min(wanted, pool_tokens),
        max_batch_size=batch,
        max_batched_tokens=config.max_batched_tokens or DEFAULT_BATCHED_TOKENS,
        max_waiting_requests=DEFAULT_WAITING_REQUESTS if waiting is None else waiting,
        watermark_blocks=math.ceil(num_blocks * options.watermark),
        prefill_chunk_tokens=options.prefill_chunk_tokens,
    )


def _wanted_length(config: BackendConfig, model: LoadedModel) -> int:
    if config.max_sequence_length is None:
        if model.max_positions is None:
            raise InvalidRequest(
                "the model states no maximum length; set max_sequence_length", param="max_sequence_length"
            )
        return model.max_positions
    if model.max_positions is not None and config.max_sequence_length > model.max_positions:
        raise InvalidRequest(
            f"max_sequence_length is {config.max_sequence_length}, but the model's positions end at "
            f"{model.max_positions}",
            param="max_sequence_length",
        )
    return config.max_sequence_length


def _num_blocks(config: BackendConfig, schema: KVCacheSchema, free_bytes: int, *, tokens: int) -> int:
    budget = config.kv_cache_memory_bytes
    if budget is None:
        useful = -(-tokens // schema.page_size) * schema.block_bytes
        budget = min(int(free_bytes * FREE_MEMORY_SHARE), useful)
    elif budget > free_bytes:
        raise CapacityExceeded(
            f"kv_cache_memory_bytes is {budget}, but only {free_bytes} bytes are free on the device"
        )
    blocks = budget // schema.block_bytes
    if blocks == 0:
        raise CapacityExceeded(
            f"a KV pool of {budget} bytes holds no block; one block of {schema.page_size} tokens takes "
            f"{schema.block_bytes} bytes"
        )
    return blocks
