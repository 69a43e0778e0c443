"""Reference: what transformers itself generates, and how sure it was."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from engine_prompts import PROMPTS
from transformers import AutoModelForCausalLM, AutoTokenizer

MAX_TOKENS = 64
EPSILON_FP32 = 1e-3
"""A divergence is accepted only where the reference's two best logits are closer than this (IB-01)."""


class Reference:
    """Greedy outputs of ``model.generate`` for all prompts, computed once; ``kept`` is where the workers share them."""

    def __init__(self, path: str, kept: Path | None = None) -> None:
        self.tokenizer: Any = AutoTokenizer.from_pretrained(path, padding_side="left")
        self.model: Any = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
        self.prompt_ids: list[list[int]] = [self.tokenizer.encode(prompt) for prompt in PROMPTS]
        self.near_ties = 0
        self.outputs = self._kept(kept) if kept is not None else self._generate_all()

    def _kept(self, file: Path) -> list[tuple[int, ...]]:
        """Return what another worker of this run computed, or compute it and keep it for the others."""
        if not file.exists():
            whole = file.with_suffix(f".{os.getpid()}")
            whole.write_text(json.dumps(self._generate_all()))
            whole.replace(file)
        return [tuple(output) for output in json.loads(file.read_text())]

    def _generate_all(self) -> list[tuple[int, ...]]:
        outputs: list[tuple[int, ...]] = [()] * len(PROMPTS)
        order = sorted(range(len(PROMPTS)), key=lambda index: len(self.prompt_ids[index]))
        for first in range(0, len(order), 8):
            group = order[first : first + 8]
            for index, output in zip(group, self.generate([self.prompt_ids[i] for i in group]), strict=True):
                outputs[index] = output
        return outputs

    @torch.inference_mode()
    def generate(self, prompts: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
        """Return ``model.generate``'s greedy tokens, EOS included, padding not."""
        widest = max(map(len, prompts))
        pad = self.tokenizer.pad_token_id or 0
        ids = torch.tensor([[pad] * (widest - len(p)) + list(p) for p in prompts])
        mask = torch.tensor([[0] * (widest - len(p)) + [1] * len(p) for p in prompts])
        out = self.model.generate(
            input_ids=ids, attention_mask=mask, max_new_tokens=MAX_TOKENS, do_sample=False, pad_token_id=pad
        )
        eos = self.model.generation_config.eos_token_id
        ends = set(eos if isinstance(eos, list) else [eos])
        return [_until(row[widest:].tolist(), ends) for row in out]

    def require_equal(self, index: int, actual: Sequence[int]) -> None:
        """Fail unless ``actual`` is the reference output of prompt ``index``, up to the first near tie."""
        expected = self.outputs[index]
        if tuple(actual) == expected:
            return
        at = next(
            (i for i, (a, b) in enumerate(zip(actual, expected, strict=False)) if a != b),
            min(len(actual), len(expected)),
        )
        gap = self.gap(self.prompt_ids[index] + list(expected[:at]))
        assert gap < EPSILON_FP32, (
            f"prompt {index} {PROMPTS[index][:40]!r} diverges at token {at}, with a logit gap of {gap}: "
            f"{list(actual[at : at + 3])} for {list(expected[at : at + 3])}"
        )
        self.near_ties += 1

    @torch.inference_mode()
    def gap(self, token_ids: Sequence[int]) -> float:
        """Return the distance of the two best next-token logits after ``token_ids``."""
        logits = self.model(input_ids=torch.tensor([list(token_ids)])).logits[0, -1]
        best = logits.topk(2).values
        return float(best[0] - best[1])


def _until(tokens: list[int], ends: set[int]) -> tuple[int, ...]:
    for position, token in enumerate(tokens):
        if token in ends:
            return tuple(tokens[: position + 1])
    return tuple(tokens)
