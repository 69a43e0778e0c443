"""From texts to the token ids that reach the model: as the model's folder says, whatever vLLM would make of it.

vLLM is given ids and no tokenizer. It would not put a folder's default prompt in front, and of a folder that asks
for lower case it lowers the names of the special tokens too.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from sage_infer_contracts.backend import BackendConfig
from sage_infer_contracts.engines.sentence_folder import EncoderFolder, read_folder
from sage_infer_contracts.engines.texts import most_tokens
from sage_infer_contracts.errors import DeviceUnavailable, InvalidRequest, Unsupported

from ..importing import collector_paused
from .options import EmbeddingOptions

_POSITIONS_AFTER_PADDING = frozenset(
    {"roberta", "xlm-roberta", "xlm-roberta-xl", "roberta-prelayernorm", "camembert", "mpnet", "longformer"}
)
"""Model types whose position table starts after the padding id, so that it holds fewer positions than rows."""

_PROBE = "a"


@attrs.frozen(slots=True)
class Texts:
    """The folder, its tokenizer and what was decided from both. Used by one thread at a time."""

    folder: EncoderFolder
    tokenizer: Any
    max_tokens: int

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text, the default prompt in front, cut at the maximum with its special tokens."""
        batch = self.tokenizer(
            [self.folder.prompt + text for text in texts],
            truncation=True,
            max_length=self.max_tokens,
            padding=False,
        )
        ids: list[list[int]] = batch["input_ids"]
        return ids


def load_texts(config: BackendConfig, options: EmbeddingOptions) -> Texts:
    """Read the model's folder and load its tokenizer.

    Raises ``InvalidRequest`` when it is no embedding model and ``Unsupported`` for what vLLM would not do.
    """
    folder = read_folder(Path(config.model.path), pooling=options.pooling, normalize=options.normalize)
    try:
        with collector_paused():
            from transformers import AutoConfig, AutoTokenizer
    except (ImportError, OSError) as error:
        raise DeviceUnavailable(
            f"transformers, which vLLM brings, cannot be imported: {error}", reason="import_error"
        ) from error
    path, code = str(folder.transformer), options.trust_remote_code
    try:
        settings = AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=code)
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=code)
    except Exception as error:  # the boundary to transformers, whose refusals of a folder have no common type
        raise InvalidRequest(f"{path} cannot be loaded as an encoder: {error}", param="model") from error
    _refuse_segments(path, tokenizer)
    if folder.lower_case:
        _lower_first(tokenizer)
    limit = most_tokens(folder, config.max_sequence_length, tokenizer, _positions(settings))
    return Texts(folder, tokenizer, limit)


def _refuse_segments(path: str, tokenizer: Any) -> None:
    """Refuse a model whose single texts are not all of segment 0: vLLM's encoders know no other for embeddings."""
    if any(tokenizer(_PROBE).get("token_type_ids") or ()):
        raise Unsupported(
            f"{path} marks single texts with token types other than 0, which vLLM does not pass on",
            param="model",
        )


def _lower_first(tokenizer: Any) -> None:
    """Lower the text before anything else the tokenizer does; its special tokens stay as they are."""
    from tokenizers import normalizers

    backend = tokenizer.backend_tokenizer
    present = [] if backend.normalizer is None else [backend.normalizer]
    backend.normalizer = normalizers.Sequence([normalizers.Lowercase(), *present])


def _positions(settings: Any) -> int | None:
    """Return how many positions the model has; None where its configuration does not say."""
    text = settings.get_text_config()
    rows = getattr(text, "max_position_embeddings", None)
    if not isinstance(rows, int) or rows < 1:
        return None
    after = text.pad_token_id if text.model_type in _POSITIONS_AFTER_PADDING else None
    return rows if after is None else rows - after - 1
