"""Encoder: one loaded model, used by one thread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from sage_infer_contracts.engines.sentence_folder import EncoderFolder
from sage_infer_contracts.errors import IntegrityError

from .loading import Loaded
from .pooling import pool


@attrs.frozen(slots=True)
class Encoded:
    """One text as tokens, special ones included, cut at the maximum."""

    token_ids: Sequence[int]
    type_ids: Sequence[int] | None


class Encoder:
    """Owned by the worker thread: all methods run there."""

    def __init__(self, folder: EncoderFolder, loaded: Loaded) -> None:
        self._folder = folder
        self._loaded = loaded

    def tokenize(self, texts: Sequence[str]) -> list[Encoded]:
        """Tokenise with the model's default prompt in front, cut at the maximum."""
        batch = self._loaded.tokenizer(
            [self._folder.prompt + text for text in texts],
            truncation=True,
            max_length=self._loaded.max_tokens,
            padding=False,
        )
        types = batch.get("token_type_ids")
        return [
            Encoded(ids, None if types is None else types[row]) for row, ids in enumerate(batch["input_ids"])
        ]

    def encode(self, batch: Sequence[Encoded]) -> list[list[float]]:
        """Run one batch. Padding is masked out, so a vector does not depend on its neighbours (EB-02).

        Raises ``IntegrityError`` when the model gives a value that is not finite.
        """
        import torch

        with torch.inference_mode():
            inputs = self._padded(batch)
            states = self._loaded.model(**inputs, return_dict=True).last_hidden_state
            vectors = pool(states, inputs["attention_mask"], self._folder.pooling)
            if self._folder.normalize:
                vectors = torch.nn.functional.normalize(vectors, p=2.0, dim=-1)
            vectors = vectors.float().cpu()
        if not bool(torch.isfinite(vectors).all()):
            raise IntegrityError(
                f"the model gave values that are not finite in {self._loaded.dtype}; try fp32"
            )
        listed: list[list[float]] = vectors.tolist()
        return listed

    def _padded(self, batch: Sequence[Encoded]) -> dict[str, Any]:
        import torch

        # A text of no tokens at all (no special ones either) still needs one masked column to run.
        width = max(1, *(len(text.token_ids) for text in batch))
        pad = self._loaded.tokenizer.pad_token_id or 0
        ids = torch.full((len(batch), width), pad, dtype=torch.long)
        mask = torch.zeros((len(batch), width), dtype=torch.long)
        types = torch.zeros((len(batch), width), dtype=torch.long)
        for row, text in enumerate(batch):
            length = len(text.token_ids)
            ids[row, :length] = torch.tensor(text.token_ids, dtype=torch.long)
            mask[row, :length] = 1
            if text.type_ids is not None:
                types[row, :length] = torch.tensor(text.type_ids, dtype=torch.long)
        inputs = {"input_ids": ids, "attention_mask": mask}
        if batch[0].type_ids is not None:
            inputs["token_type_ids"] = types
        return {name: tensor.to(self._loaded.device) for name, tensor in inputs.items()}
