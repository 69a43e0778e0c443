"""Sampling from logits, with randomness that depends on seed and position alone."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Collection, Sequence as Rows

import torch

from .logit_edits import edited
from .sequence import Sequence


def uniform(seed: int, draws: int) -> float:
    """Return the draw in [0, 1) that follows ``draws`` others under ``seed``.

    A keyed hash of the counter (BLAKE2b, 53 bits) instead of a generator's state: the draw is the same in any
    batch, after a preemption and in another process.
    """
    digest = hashlib.blake2b(struct.pack("<qQ", seed, draws), digest_size=8).digest()
    return (int.from_bytes(digest, "little") >> 11) / (1 << 53)


def sample(logits: torch.Tensor, rows: Rows[Sequence], ends: Collection[int] = ()) -> list[int]:
    """Return the next token of each row of ``logits`` [rows, vocabulary]; greedy rows take the first maximum.

    ``ends`` are the model's own end tokens, which ``min_tokens`` forbids at first.
    """
    if not rows:
        return []
    logits = edited(logits, rows, ends)
    tokens: list[int] = logits.argmax(dim=-1).tolist()
    drawn = [index for index, row in enumerate(rows) if not row.params.greedy]
    if drawn:
        chosen = _draw(logits[drawn].double(), [rows[index] for index in drawn])
        for index, token in zip(drawn, chosen, strict=True):
            tokens[index] = token
    return tokens


def _draw(logits: torch.Tensor, rows: Rows[Sequence]) -> list[int]:
    temperature = torch.tensor(
        [[row.params.temperature] for row in rows], dtype=torch.float64, device=logits.device
    )
    # The maximum first, so that a tiny temperature cannot overflow.
    probabilities = torch.softmax((logits - logits.amax(dim=-1, keepdim=True)) / temperature, dim=-1)
    if any(row.params.min_p for row in rows):
        least = torch.tensor([[row.params.min_p] for row in rows], dtype=torch.float64, device=logits.device)
        best = probabilities.amax(dim=-1, keepdim=True)
        probabilities = probabilities.masked_fill(probabilities < least * best, 0.0)
    if any(row.params.top_k or row.params.top_p < 1.0 for row in rows):
        probabilities = _filter(probabilities, rows)
    # The inverse of the cumulative distribution in order of token id: two nearly equal tokens may swap their
    # ranks between batch shapes, their ids stay.
    cumulative = probabilities.cumsum(dim=-1)
    draws = [uniform(row.seed, row.output_tokens) for row in rows]
    targets = torch.tensor(draws, dtype=torch.float64, device=logits.device)[:, None] * cumulative[:, -1:]
    chosen = torch.searchsorted(cumulative, targets, right=True).clamp(max=logits.shape[-1] - 1)
    return [int(token) for token in chosen[:, 0].tolist()]


def _filter(probabilities: torch.Tensor, rows: Rows[Sequence]) -> torch.Tensor:
    """Zero what top-k and then top-p exclude; the most likely token always stays."""
    device, vocabulary = probabilities.device, probabilities.shape[-1]
    top_k = torch.tensor([[row.params.top_k or vocabulary] for row in rows], device=device)
    top_p = torch.tensor([[row.params.top_p] for row in rows], dtype=torch.float64, device=device)
    ranked, ids = probabilities.sort(dim=-1, descending=True, stable=True)
    ranked = ranked.masked_fill(torch.arange(vocabulary, device=device) >= top_k, 0.0)
    share = ranked / ranked.sum(dim=-1, keepdim=True)
    ranked = ranked.masked_fill((share.cumsum(dim=-1) - share >= top_p) & (top_p < 1.0), 0.0)
    return torch.zeros_like(probabilities).scatter_(-1, ids, ranked)
