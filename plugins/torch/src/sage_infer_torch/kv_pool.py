"""KVPool: the memory of the KV blocks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from sage_infer_contracts.kv import KVCacheSchema


class KVPool:
    """Per layer one tensor of K pages and one of V pages, each [num_blocks, block_size, kv_heads, head_dim].

    A page is zeroed before its first use: masked positions are multiplied by zero, and 0 * NaN is NaN. Zeroing
    all at once would make the whole pool resident before anybody needs it.
    """

    def __init__(self, schema: KVCacheSchema, num_blocks: int, *, dtype: torch.dtype, device: Any) -> None:
        shape = (num_blocks, schema.page_size, schema.num_heads, schema.head_dim)
        self.schema = schema
        self.num_blocks = num_blocks
        self.keys = [torch.empty(shape, dtype=dtype, device=device) for _ in range(schema.num_layers)]
        self.values = [torch.empty(shape, dtype=dtype, device=device) for _ in range(schema.num_layers)]

        self._used = bytearray(num_blocks)
        self.prepare([0])  # it pads block tables

    def prepare(self, blocks: Iterable[int]) -> None:
        """Make ``blocks`` safe to read; called before a step that uses them."""
        fresh = sorted({block for block in blocks if not self._used[block]})
        if not fresh:
            return
        index = torch.tensor(fresh, device=self.keys[0].device)
        for pages in (*self.keys, *self.values):
            pages.index_fill_(0, index, 0)
        for block in fresh:
            self._used[block] = 1

    def write(self, layer: int, slots: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> None:
        """Store ``key`` and ``value`` [tokens, kv_heads, head_dim] at ``slots`` (block * block_size + offset)."""
        self.keys[layer].flatten(0, 1).index_copy_(0, slots, key)
        self.values[layer].flatten(0, 1).index_copy_(0, slots, value)

    def clear(self) -> None:
        """Free the memory; the pool is unusable afterwards."""
        self.keys.clear()
        self.values.clear()

    def gather(self, layer: int, tables: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return K and V of the blocks in ``tables`` [rows, blocks] as [rows, kv_heads, tokens, head_dim]."""
        key = self.keys[layer][tables].flatten(1, 2).transpose(1, 2)
        value = self.values[layer][tables].flatten(1, 2).transpose(1, 2)
        return key, value
