"""Batch: one step's work as tensors, the sequences laid end to end in one row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import torch

from .kv_pool import KVPool
from .scheduler import Work


@attrs.frozen(slots=True, eq=False)
class Chunk:
    """Several tokens of one sequence: rows [begin, end) of the batch."""

    begin: int
    end: int
    table: torch.Tensor
    """Block numbers [1, blocks]."""

    context: int
    """Tokens of the sequence with KV once the chunk is written."""

    mask: torch.Tensor
    """Whether a row sees a position: bool [end - begin, context]."""


@attrs.frozen(slots=True, eq=False)
class Batch:
    """The step as the attention sees it. Single-token rows come first, then the chunks."""

    pool: KVPool
    attend: Callable[..., torch.Tensor]
    """The kernel, see :data:`sage_infer_torch.attention.KERNELS`."""

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    slots: torch.Tensor
    singles: int
    tables: torch.Tensor
    """Block numbers of the single rows [singles, blocks], padded with block 0."""

    mask: torch.Tensor
    """Whether a single row sees a position: bool [singles, 1, 1, blocks * block_size]."""

    chunks: tuple[Chunk, ...]
    sample_rows: torch.Tensor
    order: tuple[Work, ...]
    """The work whose logits are sampled, in the order of ``sample_rows``."""

    layers_seen: set[int] = attrs.field(factory=set)
    """Layers whose attention ran through the pool."""


def build_batch(plan: list[Work], pool: KVPool, attend: Callable[..., torch.Tensor], device: Any) -> Batch:
    """Lay out ``plan`` (not empty)."""
    works = sorted(plan, key=lambda work: work.count > 1)
    singles = [work for work in works if work.count == 1]
    size = pool.schema.page_size
    pool.prepare(block for work in works for block in work.sequence.blocks)
    ids: list[int] = []
    positions: list[int] = []
    slots: list[int] = []
    sample_rows: list[int] = []
    chunks: list[Chunk] = []
    for work in works:
        begin, end = len(ids), len(ids) + work.count
        span = range(work.start, work.start + work.count)
        ids.extend(work.sequence.token_ids[span.start : span.stop])
        positions.extend(span)
        slots.extend(work.sequence.blocks[p // size] * size + p % size for p in span)
        if work.count > 1:
            chunks.append(_chunk(work, begin, end, size, device))
        if work.samples:
            sample_rows.append(end - 1)
    tables, mask = _single_tables(singles, size)
    return Batch(
        pool=pool,
        attend=attend,
        input_ids=torch.tensor([ids], device=device),
        position_ids=torch.tensor([positions], device=device),
        slots=torch.tensor(slots, device=device),
        singles=len(singles),
        tables=tables.to(device),
        mask=mask.to(device),
        chunks=tuple(chunks),
        sample_rows=torch.tensor(sample_rows, dtype=torch.long, device=device),
        order=tuple(work for work in works if work.samples),
    )


def _chunk(work: Work, begin: int, end: int, size: int, device: Any) -> Chunk:
    context = work.start + work.count
    table = torch.tensor([work.sequence.blocks[: -(-context // size)]], device=device)
    rows = torch.arange(work.start, context, device=device)
    mask = torch.arange(context, device=device)[None, :] <= rows[:, None]
    return Chunk(begin, end, table, context, mask)


def _single_tables(singles: list[Work], size: int) -> tuple[torch.Tensor, torch.Tensor]:
    widest = max((-(-(work.start + 1) // size) for work in singles), default=0)
    padded = [
        (blocks := work.sequence.blocks[: -(-(work.start + 1) // size)]) + [0] * (widest - len(blocks))
        for work in singles
    ]
    tables = torch.tensor(padded, dtype=torch.long).reshape(len(singles), widest)
    last = torch.tensor([work.start for work in singles], dtype=torch.long)
    mask = torch.arange(widest * size)[None, :] <= last[:, None]
    return tables, mask[:, None, None, :]
