"""Log-probabilities of the chosen tokens, under the model's own distribution: before temperature, filters and edits."""

from __future__ import annotations

from collections.abc import Sequence as Rows

import torch

from sage_infer_contracts.streams import TokenLogprob

from .sequence import Sequence

Logprobs = tuple[TokenLogprob, ...] | None
"""What a delta of one token carries."""


def token_logprobs(logits: torch.Tensor, rows: Rows[Sequence], tokens: Rows[int]) -> list[Logprobs]:
    """Return for each row of ``logits`` [rows, vocabulary] the log-probability of its token, None if not asked for."""
    found: list[Logprobs] = [None] * len(rows)
    asked = [index for index, row in enumerate(rows) if row.params.logprobs is not None]
    if not asked:
        return found
    scores = torch.log_softmax(logits[asked].float(), dim=-1)
    chosen = torch.tensor([[tokens[index]] for index in asked], device=logits.device)
    own = scores.gather(1, chosen)[:, 0].tolist()
    most = max(rows[index].params.logprobs or 0 for index in asked)
    best = scores.topk(most, dim=-1)
    ids, values = best.indices.tolist(), best.values.tolist()
    for at, index in enumerate(asked):
        wanted = rows[index].params.logprobs or 0
        top = tuple(zip(ids[at][:wanted], values[at][:wanted], strict=True))
        found[index] = (TokenLogprob(tokens[index], own[at], top),)
    return found
