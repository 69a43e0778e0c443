"""The tensors of a packed model that a graph takes as inputs."""

from __future__ import annotations

import torch


def named_tensors(module: torch.nn.Module) -> tuple[tuple[str, ...], list[torch.Tensor]]:
    """Return parameters and buffers that packing left, with their names, sorted by these."""
    tensors = dict(module.named_parameters()) | dict(module.named_buffers())
    names = tuple(sorted(tensors))
    return names, [tensors[name] for name in names]
