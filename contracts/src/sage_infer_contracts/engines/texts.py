"""What embedding engines check alike: the texts of a call, its batch size, and the most tokens a text may have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import InvalidRequest
from .sentence_folder import EncoderFolder

_UNSET_LENGTH = 10**9
"""transformers writes 1e30 where a tokenizer has no maximum."""


def check_texts(texts: Sequence[str]) -> None:
    """Raise ``InvalidRequest`` unless ``texts`` is a list of strings that UTF-8 can hold."""
    if isinstance(texts, (str, bytes)):
        raise InvalidRequest("texts must be a list of strings, not one string", param="texts")
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise InvalidRequest(
                f"texts[{number}] is a {type(text).__name__}, not a string", param=f"texts[{number}]"
            )
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InvalidRequest(
                f"texts[{number}] is not valid Unicode ({error.reason} at {error.start})",
                param=f"texts[{number}]",
            ) from error


def check_batch_size(batch_size: int) -> None:
    """Raise ``InvalidRequest`` unless ``batch_size`` is a whole number of at least 1."""
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise InvalidRequest(
            f"batch_size must be a whole number of at least 1, got {batch_size!r}", param="batch_size"
        )


def most_tokens(folder: EncoderFolder, asked: int | None, tokenizer: Any, positions: int | None) -> int:
    """Return how many tokens of a text may reach the model, special ones included.

    That is the folder's own maximum, or the tokenizer's, never past the model's ``positions``; ``asked``, the
    configured maximum, may only lower it. ``tokenizer`` has transformers' interface.
    """
    own = folder.max_tokens or getattr(tokenizer, "model_max_length", None)
    known = [int(number) for number in (own, positions) if number is not None and number < _UNSET_LENGTH]
    if not known and asked is None:
        raise InvalidRequest(
            f"{folder.transformer} does not say how many tokens a text may have; set max_sequence_length",
            param="max_sequence_length",
        )
    limit = min(known, default=asked or 0)
    wanted = asked or limit
    if wanted > limit:
        raise InvalidRequest(
            f"max_sequence_length {wanted} is more than the {limit} tokens the model takes",
            param="max_sequence_length",
        )
    least = len(tokenizer("")["input_ids"]) + 1
    if wanted < least:
        raise InvalidRequest(
            f"max_sequence_length {wanted} leaves no room for text; at least {least} are needed",
            param="max_sequence_length",
        )
    return wanted
