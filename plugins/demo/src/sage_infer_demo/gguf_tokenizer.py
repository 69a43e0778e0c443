"""The tokenizer inside a GGUF file to tokenizer.json and tokenizer_config.json."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .gguf_llama import LlamaConfig, value, write_json

if TYPE_CHECKING:
    from gguf import GGUFReader
    from tokenizers import Tokenizer

CONTROL_TOKEN = 3
"""GGUF token type of a token that never stands for its own text."""


def write_tokenizer(reader: GGUFReader, config: LlamaConfig, folder: Path) -> None:
    """Write the byte-level BPE tokenizer; raises ValueError for another kind."""
    kind = (value(reader, "tokenizer.ggml.model"), value(reader, "tokenizer.ggml.pre"))
    if kind != ("gpt2", "smollm"):
        raise ValueError(f"GGUF tokenizer {kind}; only byte-level BPE with SmolLM's splitting is converted")
    tokens: list[str] = value(reader, "tokenizer.ggml.tokens")
    types: list[int] = value(reader, "tokenizer.ggml.token_type")
    merges: list[str] = value(reader, "tokenizer.ggml.merges")
    special = [token for token, kind in zip(tokens, types, strict=True) if kind == CONTROL_TOKEN]
    tokenizer = _byte_level_bpe(tokens, merges, special)
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(
        folder / "tokenizer_config.json",
        {
            # The generic class takes tokenizer.json as it is; named ones rebuild the splitting and lose the digits.
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": tokens[config.bos_id],
            "eos_token": tokens[config.eos_id],
            "pad_token": tokens[config.pad_id],
            "unk_token": tokens[int(value(reader, "tokenizer.ggml.unknown_token_id"))],
            "model_max_length": config.context,
            "clean_up_tokenization_spaces": False,
            "chat_template": value(reader, "tokenizer.chat_template"),
        },
    )


def _byte_level_bpe(tokens: list[str], merges: list[str], special: list[str]) -> Tokenizer:
    """Build what llama.cpp calls ``smollm``: each digit apart, then GPT-2's words over bytes."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    vocabulary = {token: number for number, token in enumerate(tokens)}
    pairs = [(left, right) for left, _, right in (merge.partition(" ") for merge in merges)]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return tokenizer
