"""What a compiled graph calls back for: attention over the pages, and the packed products.

Both are opaque to the compiler: it knows the shapes only. What they work on is the step that the calling thread
announced with :func:`step`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from ..batch import Batch
from ..packing import Product

TRACED_ATTENTION = "sage_infer_traced"
_library = torch.library.Library("sage_infer", "DEF")
_library.define("attend(Tensor query, Tensor key, Tensor value, int layer, float? scale) -> Tensor")
_library.define("product(Tensor x, int index, int out_features) -> Tensor")


class _Current(threading.local):
    batch: Batch | None = None
    products: Sequence[Product] = ()


_current = _Current()


@contextmanager
def step(batch: Batch, products: Sequence[Product]) -> Iterator[None]:
    """Let the operators, called on this thread, work on ``batch`` with ``products``."""
    _current.batch, _current.products = batch, products
    try:
        yield
    finally:
        _current.batch, _current.products = None, ()


def traced_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **arguments: Any,
) -> tuple[torch.Tensor, None]:
    """Attention function as transformers calls it, for tracing; the paged one proved that no more is asked for."""
    layer = int(getattr(module, "layer_idx"))  # noqa: B009 - not an attribute torch knows
    return torch.ops.sage_infer.attend(query, key, value, layer, scaling), None


def product(x: torch.Tensor, index: int, out_features: int) -> torch.Tensor:
    """Return [..., out_features]: the product of ``x`` with the packed weights ``index``."""
    result: torch.Tensor = torch.ops.sage_infer.product(x, index, out_features)
    return result


def _attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, layer: int, scale: float | None
) -> torch.Tensor:
    """Return [1, rows, heads, head_dim] of tensors [1, heads, rows, head_dim]; rows past the batch are padding."""
    batch = _current.batch
    assert batch is not None
    rows = batch.singles
    batch.pool.write(layer, batch.slots, key[0].transpose(0, 1)[:rows], value[0].transpose(0, 1)[:rows])
    seen = batch.attend(batch, layer, query[0].transpose(0, 1)[:rows], scale)
    padding = query.shape[2] - rows
    if padding:
        seen = torch.cat([seen, seen.new_zeros(padding, *seen.shape[1:])])
    return seen[None]


def _attend_shape(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, layer: int, scale: float | None
) -> torch.Tensor:
    batch, heads, rows, _ = query.shape
    return query.new_empty(batch, rows, heads, value.shape[-1])


def _product(x: torch.Tensor, index: int, out_features: int) -> torch.Tensor:
    return _current.products[index](x)


def _product_shape(x: torch.Tensor, index: int, out_features: int) -> torch.Tensor:
    return x.new_empty(*x.shape[:-1], out_features)


_library.impl("attend", _attend, "CompositeExplicitAutograd")
_library.impl("attend", _attend_shape, "Meta")
_library.impl("product", _product, "CompositeExplicitAutograd")
_library.impl("product", _product_shape, "Meta")
