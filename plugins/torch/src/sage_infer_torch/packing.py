"""Packing: a model's linear layers in the layout the device multiplies fastest, those with one input as one product.

Which layers read the same tensor is seen in a forward of the model itself, not guessed from their names, so QKV and
gate-up projections are joined in any architecture that keeps them apart. Weights are packed one group after the
other, so that at most one group exists twice.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn.functional import linear

Product = Callable[[torch.Tensor], torch.Tensor]
"""Maps [..., in_features] to [..., out_features]."""

Group = list[tuple[str, nn.Linear]]
"""Layers that read one tensor, with their names in the model, in the order they were called."""


class Packer(Protocol):
    """What packing asks of a device; see :class:`~sage_infer_contracts.runtime.DeviceRuntime`."""

    def pack_linear(self, weight: Any, bias: Any) -> Product | None:
        """Return the product with ``weight`` and ``bias``; None: there is nothing better than torch's."""
        ...


def pack_linears(
    module: nn.Module, runtime: Packer, forward: Callable[[], torch.Tensor]
) -> tuple[torch.Tensor, tuple[Product, ...]]:
    """Replace the linear layers that ``forward`` goes through by packed ones.

    Returns what ``forward`` gave before, and the products in an order that depends on the modules alone. Layers that
    it does not reach, or reaches more than once, stay as they are.
    """
    groups, result = _groups(module, forward)
    products: list[Product] = []
    while groups:
        products.append(_replace(module, groups.pop(), runtime))
    return result, tuple(products)


class SharedProduct:
    """The product of an input with several layers' weights, computed when the first of them is called."""

    def __init__(self, product: Product, sizes: list[int]) -> None:
        self._product = product
        self._sizes = sizes
        self._input: torch.Tensor | None = None
        self._parts: tuple[torch.Tensor, ...] = ()

    def part(self, index: int, x: torch.Tensor) -> torch.Tensor:
        """Return layer ``index``'s [..., out_features] of ``x``: a view into the whole product."""
        if x is not self._input:
            self._input, self._parts = x, self._product(x).split(self._sizes, dim=-1)
        part = self._parts[index]
        if index == len(self._sizes) - 1:
            self._input, self._parts = None, ()
        return part


class PackedLinear(nn.Module):  # type: ignore[misc]  # torch is not there when types are checked
    """A linear layer without weights of its own."""

    def __init__(self, compute: Product) -> None:
        super().__init__()
        self._compute = compute

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return [..., out_features] of ``x`` [..., in_features]."""
        return self._compute(x)


def _groups(module: nn.Module, forward: Callable[[], torch.Tensor]) -> tuple[list[Group], torch.Tensor]:
    calls: list[tuple[str, nn.Linear, torch.Tensor]] = []

    def note(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        # The tensors are kept until all is grouped, or another one could get the same identity.
        return lambda layer, inputs: calls.append((name, layer, inputs[0]))

    hooks = [
        layer.register_forward_pre_hook(note(name))
        for name, layer in module.named_modules()
        if type(layer) is nn.Linear
    ]
    try:
        result = forward()
    finally:
        for hook in hooks:
            hook.remove()
    times = Counter(layer for _, layer, _ in calls)
    groups: dict[tuple[str, int], Group] = defaultdict(list)
    for name, layer, x in calls:
        if times[layer] == 1:
            groups[name.rpartition(".")[0], id(x)].append((name, layer))
    return list(groups.values()), result


def _replace(module: nn.Module, group: Group, runtime: Packer) -> Product:
    product = _product(group, runtime)
    shared = SharedProduct(product, [layer.out_features for _, layer in group])
    for index, (name, _) in enumerate(group):
        parent, _, attribute = name.rpartition(".")
        alone = len(group) == 1
        compute = product if alone else _part_of(shared, index)
        setattr(module.get_submodule(parent), attribute, PackedLinear(compute))
    return product


def _part_of(shared: SharedProduct, index: int) -> Product:
    return lambda x: shared.part(index, x)


def _product(group: Group, runtime: Packer) -> Product:
    layers = [layer for _, layer in group]
    weight = layers[0].weight if len(layers) == 1 else torch.cat([layer.weight for layer in layers])
    bias = _joined_bias(layers)
    packed = runtime.pack_linear(weight, bias)
    if packed is not None:
        return packed
    return lambda x: linear(x, weight, bias)


def _joined_bias(layers: list[nn.Linear]) -> torch.Tensor | None:
    if all(layer.bias is None for layer in layers):
        return None
    return torch.cat(
        [
            layer.bias if layer.bias is not None else layer.weight.new_zeros(layer.out_features)
            for layer in layers
        ]
    )
