"""The next token of one sequence, by its own parameters and nothing else."""

from __future__ import annotations

import hashlib
import math
import struct
from collections import Counter
from collections.abc import Sequence

from sage_infer_contracts.sampling import SamplingParams
from sage_infer_contracts.streams import TokenLogprob


def uniform(seed: int, draws: int) -> float:
    """Return the draw in [0, 1) after ``draws`` others under ``seed``: a function of the two, whatever else runs."""
    digest = hashlib.blake2b(struct.pack("<qQ", seed, draws), digest_size=8).digest()
    return (int.from_bytes(digest, "little") >> 11) / (1 << 53)


def adjust(
    logits: list[float],
    params: SamplingParams,
    prompt: Sequence[int],
    output: Sequence[int],
    ends: frozenset[int],
) -> list[float]:
    """Apply penalties, biases and ``min_tokens``; ``ends`` are the tokens that end an output."""
    adjusted = list(logits)
    if params.repetition_penalty != 1.0:
        for token in {*prompt, *output}:
            value = adjusted[token]
            adjusted[token] = (
                value / params.repetition_penalty if value > 0 else value * params.repetition_penalty
            )
    if params.presence_penalty or params.frequency_penalty:
        for token, count in Counter(output).items():
            adjusted[token] -= params.presence_penalty + params.frequency_penalty * count
    for token, bias in (params.logit_bias or {}).items():
        adjusted[token] += bias
    if len(output) < params.min_tokens:
        for token in ends:
            adjusted[token] = -math.inf
    return adjusted


def choose(logits: Sequence[float], params: SamplingParams, seed: int, draws: int) -> int:
    """Return the next token; greedy takes the first maximum."""
    ranked = sorted(range(len(logits)), key=lambda token: (-logits[token], token))
    if params.greedy:
        return ranked[0]
    if params.top_k:
        ranked = ranked[: params.top_k]
    best = logits[ranked[0]]
    weights = [math.exp((logits[token] - best) / params.temperature) for token in ranked]
    kept = _kept(weights, params)
    target = uniform(seed, draws) * sum(weights[:kept])
    for token, weight in zip(ranked[:kept], weights, strict=False):
        target -= weight
        if target < 0:
            return token
    return ranked[kept - 1]


def _kept(weights: Sequence[float], params: SamplingParams) -> int:
    """Return how many of the largest weights top-p and min-p leave."""
    left, kept = params.top_p * sum(weights), 0
    for weight in weights:
        if kept and (left <= 0 or weight < params.min_p):
            break
        left -= weight
        kept += 1
    return kept


def logprob_of(logits: Sequence[float], token: int, alternatives: int) -> TokenLogprob:
    """Return the log-probability of ``token`` and of the ``alternatives`` most likely tokens."""
    best = max(logits)
    norm = best + math.log(sum(math.exp(value - best) for value in logits))
    ranked = sorted(range(len(logits)), key=lambda other: (-logits[other], other))[:alternatives]
    return TokenLogprob(token, logits[token] - norm, tuple((other, logits[other] - norm) for other in ranked))
