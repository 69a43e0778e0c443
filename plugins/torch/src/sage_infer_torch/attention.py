"""Paged attention, registered with transformers so that a model's own forward runs over our pool.

No mask function is registered beside it: transformers then builds no mask, and each step brings its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

from sage_infer_contracts.errors import Unsupported

from .batch import Batch, Chunk

ATTENTION_NAME = "sage_infer_paged"
BATCH_ARGUMENT = "sage_infer_batch"
_HARMLESS = frozenset(
    {"dropout", "position_ids", "use_cache", "output_attentions", "is_causal", "output_hidden_states"}
)

Kernel = Callable[[Batch, int, torch.Tensor, float | None], torch.Tensor]


def gather_sdpa(batch: Batch, layer: int, query: torch.Tensor, scale: float | None) -> torch.Tensor:
    """Attend over gathered pages; ``query`` is [tokens, heads, head_dim], and so is the result.

    Query heads that share a KV head are handed over as further rows or batch entries of it, so K and V are
    never copied per query head.
    """
    out = torch.empty(*query.shape[:2], batch.pool.schema.head_dim, dtype=query.dtype, device=query.device)
    if batch.singles:
        key, value = batch.pool.gather(layer, batch.tables)
        rows = query[: batch.singles].unflatten(1, (key.shape[1], -1))
        seen = scaled_dot_product_attention(rows, key, value, attn_mask=batch.mask, scale=scale)
        out[: batch.singles] = seen.flatten(1, 2)
    for chunk in batch.chunks:
        out[chunk.begin : chunk.end] = _attend_chunk(batch, layer, chunk, query, scale)
    return out


KERNELS: dict[str, Kernel] = {"gather_sdpa": gather_sdpa}
"""Implementations a ``DeviceRuntime`` may name in :meth:`attention`."""


def _attend_chunk(
    batch: Batch, layer: int, chunk: Chunk, query: torch.Tensor, scale: float | None
) -> torch.Tensor:
    key, value = batch.pool.gather(layer, chunk.table)
    key, value = key[:, :, : chunk.context], value[:, :, : chunk.context]
    # [tokens, heads, dim] -> [group, kv_heads, tokens, dim]; K and V are only viewed once per group member.
    rows = query[chunk.begin : chunk.end].unflatten(1, (key.shape[1], -1)).permute(2, 1, 0, 3)
    group = rows.shape[0]
    seen = scaled_dot_product_attention(
        rows,
        key.expand(group, -1, -1, -1),
        value.expand(group, -1, -1, -1),
        attn_mask=chunk.mask,
        scale=scale,
    )
    return seen.permute(2, 1, 0, 3).flatten(1, 2)


def paged_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **arguments: Any,
) -> tuple[torch.Tensor, None]:
    """Attention function as transformers calls it: tensors are [1, heads, tokens, head_dim].

    Raises ``Unsupported`` when the model asks for something paged attention does not compute.
    """
    batch: Batch | None = arguments.pop(BATCH_ARGUMENT, None)
    if batch is None:
        raise Unsupported(
            f"{type(module).__name__} does not pass arguments on to its attention, so it cannot be paged"
        )
    extra = sorted(name for name, given in arguments.items() if given is not None and name not in _HARMLESS)
    if extra or attention_mask is not None:
        raise Unsupported(
            f"{type(module).__name__} asks its attention for {', '.join(extra) or 'a mask of its own'}, "
            f"which paged attention does not compute"
        )
    layer = int(getattr(module, "layer_idx"))  # noqa: B009 - not an attribute torch knows
    batch.pool.write(layer, batch.slots, key[0].transpose(0, 1), value[0].transpose(0, 1))
    batch.layers_seen.add(layer)
    return batch.attend(batch, layer, query[0].transpose(0, 1), scaling)[None], None


def register() -> None:
    """Make the attention known to transformers; idempotent."""
    from transformers import AttentionInterface

    AttentionInterface.register(ATTENTION_NAME, paged_attention)
