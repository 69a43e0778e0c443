"""What a request asks to be changed in its logits before a token is chosen: biases, forbidden ends, penalties."""

from __future__ import annotations

from collections.abc import Collection, Sequence as Rows

import torch

from .sequence import Sequence


class TokenCounts:
    """How often each token occurs in one sequence, kept on the device and brought up to date token by token."""

    def __init__(self, sequence: Sequence, vocabulary: int, device: torch.device) -> None:
        prompt = torch.tensor(sequence.token_ids[: sequence.prompt_tokens], device=device)
        self.seen = torch.zeros(vocabulary, dtype=torch.bool, device=device)
        self.seen[prompt] = True
        """Which tokens occur in the prompt or the output."""

        self.output = torch.zeros(vocabulary, dtype=torch.float32, device=device)
        """Occurrences in the output."""

        self._counted = sequence.prompt_tokens

    def update(self, sequence: Sequence) -> None:
        """Count the tokens that came since the last call."""
        fresh = torch.tensor(sequence.token_ids[self._counted :], dtype=torch.long, device=self.seen.device)
        self._counted = len(sequence.token_ids)
        self.output.index_add_(0, fresh, torch.ones_like(fresh, dtype=torch.float32))
        self.seen[fresh] = True


def edited(logits: torch.Tensor, rows: Rows[Sequence], ends: Collection[int]) -> torch.Tensor:
    """Return ``logits`` [rows, vocabulary] as the rows ask for them; the same tensor when none asks for anything.

    Biases come first, then ends that ``min_tokens`` forbids (``ends`` are the model's own), then penalties: the order
    of vLLM's sampler.
    """
    biased = [
        (index, *item) for index, row in enumerate(rows) for item in (row.params.logit_bias or {}).items()
    ]
    forbidden = [(index, token) for index, row in enumerate(rows) for token in _forbidden(row, ends)]
    penalised = [index for index, row in enumerate(rows) if _penalises(row)]
    if not (biased or forbidden or penalised):
        return logits
    logits = logits.to(torch.float32, copy=True)
    if biased:
        at, tokens, values = zip(*biased, strict=True)
        _put(logits, at, tokens, torch.tensor(values, device=logits.device), accumulate=True)
    if forbidden:
        at, tokens = zip(*forbidden, strict=True)
        _put(logits, at, tokens, torch.tensor(float("-inf"), device=logits.device))
    if penalised:
        logits[penalised] = _penalise(logits[penalised], [rows[index] for index in penalised])
    return logits


def _put(
    logits: torch.Tensor,
    rows: Rows[int],
    tokens: Rows[int],
    values: torch.Tensor,
    *,
    accumulate: bool = False,
) -> None:
    index = (torch.tensor(rows, device=logits.device), torch.tensor(tokens, device=logits.device))
    logits.index_put_(index, values, accumulate=accumulate)


def _forbidden(row: Sequence, ends: Collection[int]) -> list[int]:
    if row.output_tokens >= row.params.min_tokens:
        return []
    return [*row.params.stop_token_ids, *(() if row.params.ignore_eos else ends)]


def _penalises(row: Sequence) -> bool:
    params = row.params
    return (
        params.repetition_penalty != 1.0 or params.presence_penalty != 0.0 or params.frequency_penalty != 0.0
    )


def _penalise(logits: torch.Tensor, rows: Rows[Sequence]) -> torch.Tensor:
    """Repetition counts prompt and output, presence and frequency the output alone."""
    counts = [_counts(row, logits) for row in rows]
    seen = torch.stack([each.seen for each in counts])
    output = torch.stack([each.output for each in counts])

    def column(values: list[float]) -> torch.Tensor:
        return torch.tensor(values, device=logits.device)[:, None]

    repetition = column([row.params.repetition_penalty for row in rows])
    weakened = torch.where(logits > 0, logits / repetition, logits * repetition)
    logits = torch.where(seen, weakened, logits)
    frequency = column([row.params.frequency_penalty for row in rows])
    presence = column([row.params.presence_penalty for row in rows])
    return logits - frequency * output - presence * (output > 0)


def _counts(row: Sequence, logits: torch.Tensor) -> TokenCounts:
    if row.counts is None:
        row.counts = TokenCounts(row, logits.shape[-1], logits.device)
    row.counts.update(row)
    return row.counts
