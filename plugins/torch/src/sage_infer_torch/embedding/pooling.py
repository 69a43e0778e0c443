"""Token states to one vector per text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sage_infer_contracts.descriptors import PoolingType

if TYPE_CHECKING:
    from torch import Tensor


def pool(states: Tensor, mask: Tensor, pooling: PoolingType) -> Tensor:
    """Pool ``states`` [batch, tokens, hidden] under ``mask`` [batch, tokens] (1: text, 0: padding, on the right).

    Means accumulate in fp32. A row without a single token gives zeros for ``mean`` and ``last``.
    """
    import torch

    if pooling == "cls":
        return states[:, 0]
    if pooling == "last":
        last = (mask.sum(dim=1) - 1).clamp(min=0)
        picked = states[torch.arange(states.shape[0], device=states.device), last]
        return picked * (mask.sum(dim=1, keepdim=True) > 0)
    weights = mask.unsqueeze(-1).to(states.dtype)
    total = (states * weights).sum(dim=1, dtype=torch.float32)
    count = weights.sum(dim=1, dtype=torch.float32).clamp(min=1e-9)
    return (total / count).to(states.dtype)
