"""KVPool: the memory of the KV blocks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
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

        self._gathered = [self.keys[0].new_empty(0), self.values[0].new_empty(0)]
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
        self._gathered.clear()

    def dump(self, blocks: Sequence[int], num_tokens: int) -> torch.Tensor:
        """Return on the host, as bytes, K and V of ``blocks``, which hold ``num_tokens`` tokens: layer by layer."""
        index = torch.tensor(blocks, device=self.keys[0].device)
        pages = [tensor[index] for pair in zip(self.keys, self.values, strict=True) for tensor in pair]
        whole = torch.stack(pages).cpu()
        whole[:, -1, (num_tokens - 1) % self.schema.page_size + 1 :] = 0
        return whole.view(torch.uint8).flatten()

    def load(self, blocks: Sequence[int], data: torch.Tensor) -> None:
        """Store into ``blocks`` what :meth:`dump` returned for as many."""
        page = self.keys[0].shape[1:]
        whole = data.view(self.keys[0].dtype).reshape(2 * self.schema.num_layers, len(blocks), *page)
        index = torch.tensor(blocks, device=self.keys[0].device)
        for layer, (keys, values) in enumerate(zip(self.keys, self.values, strict=True)):
            keys.index_copy_(0, index, whole[2 * layer].to(keys.device))
            values.index_copy_(0, index, whole[2 * layer + 1].to(values.device))
        for block in blocks:
            self._used[block] = 1

    def gather(self, layer: int, tables: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return K and V of the blocks in ``tables`` [rows, blocks] as [rows, kv_heads, tokens, head_dim].

        Both stay valid until the next call: they lie in memory the pool keeps, because memory that is new for every
        layer costs more in page faults than the copy itself.
        """
        pages = (self.keys[layer], self.values[layer])
        shape = (len(tables), tables.shape[1] * self.schema.page_size, *pages[0].shape[2:])
        blocks = tables.flatten()
        if self._gathered[0].numel() < math.prod(shape):
            self._gathered = [page.new_empty(math.prod(shape)) for page in pages]
        for page, gathered in zip(pages, self._gathered, strict=True):
            out = gathered[: math.prod(shape)].view(len(blocks), -1)
            torch.index_select(page.flatten(1), 0, blocks, out=out)
        key, value = (gathered[: math.prod(shape)].view(shape).transpose(1, 2) for gathered in self._gathered)
        return key, value
