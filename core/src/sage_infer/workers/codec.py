"""Contract values as plain data and back. Per-token rows are arrays; models are only built once per request."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from sage_infer_contracts.errors import IntegrityError, SageInferError, error_from_wire, error_to_wire
from sage_infer_contracts.states import DecodeState, PrefilledSequence, PrefillResult
from sage_infer_contracts.streams import TokenDelta, TokenLogprob, Usage

Row = list[Any]


def dump(model: BaseModel) -> dict[str, Any]:
    """Return a contract model as plain data."""
    return model.model_dump(mode="json")


def prompts_to_plain(prompts: Sequence[str | Sequence[int]]) -> list[str | list[int]]:
    """Return prompts as strings and lists of token ids."""
    return [prompt if isinstance(prompt, str) else list(prompt) for prompt in prompts]


def delta_to_row(stream_id: int, delta: TokenDelta) -> Row:
    """Return ``[stream, token ids, text]``, and three or four more elements where they say something."""
    row: Row = [stream_id, delta.token_ids, delta.text]
    if delta.finish_reason is None and delta.logprobs is None:
        return row
    usage = delta.usage
    row.append(delta.finish_reason)
    row.append(delta.stop_reason)
    row.append(
        None
        if usage is None
        else (
            usage.prompt_tokens,
            usage.completion_tokens,
            usage.computed_prompt_tokens,
            usage.reused_prompt_tokens,
        )
    )
    if delta.logprobs is not None:
        row.append([(entry.token_id, entry.logprob, entry.top) for entry in delta.logprobs])
    return row


def delta_from_row(row: Sequence[Any]) -> TokenDelta:
    """Undo :func:`delta_to_row`."""
    if len(row) == 3:
        return TokenDelta(tuple(row[1]), row[2])
    _, token_ids, text, finish_reason, stop_reason, usage = row[:6]
    logprobs = None
    if len(row) > 6:
        logprobs = tuple(
            TokenLogprob(token_id, logprob, tuple((other, value) for other, value in top))
            for token_id, logprob, top in row[6]
        )
    return TokenDelta(
        tuple(token_ids), text, finish_reason, stop_reason, None if usage is None else Usage(*usage), logprobs
    )


def error_to_row(stream_id: int, error: BaseException) -> Row:
    """Return the row that ends a stream with an error."""
    return [stream_id, error_to_wire(error)]


def row_error(row: Sequence[Any]) -> SageInferError | None:
    """Return the error of a row made by :func:`error_to_row`, None for a delta's."""
    return error_from_wire(row[1]) if len(row) == 2 else None


def prefill_to_plain(result: PrefillResult) -> list[Any]:
    """Return a prefill result as plain data."""
    sequences = [
        [delta_to_row(0, item.first), None if item.state is None else dump(item.state)]
        for item in result.sequences
    ]
    return [result.request_id, sequences]


def prefill_from_plain(plain: Sequence[Any]) -> PrefillResult:
    """Undo :func:`prefill_to_plain`."""
    request_id, sequences = plain
    return PrefillResult(
        request_id,
        tuple(
            PrefilledSequence(
                delta_from_row(row), None if state is None else DecodeState.model_validate(state)
            )
            for row, state in sequences
        ),
    )


def vectors_to_plain(vectors: Sequence[Sequence[float]]) -> list[Any]:
    """Return vectors as ``[byte order, lengths, float64 bytes]``, which keeps every bit."""
    flat = array("d")
    for vector in vectors:
        flat.extend(vector)
    return [sys.byteorder, [len(vector) for vector in vectors], flat.tobytes()]


def vectors_from_plain(plain: Sequence[Any]) -> list[list[float]]:
    """Undo :func:`vectors_to_plain`; raises ``IntegrityError`` when the lengths do not add up."""
    byteorder, lengths, payload = plain
    flat = array("d")
    if sum(lengths) * flat.itemsize != len(payload):
        raise IntegrityError(f"{len(payload)} bytes of vectors do not hold {sum(lengths)} floats")
    flat.frombytes(payload)
    if byteorder != sys.byteorder:
        flat.byteswap()
    vectors: list[list[float]] = []
    start = 0
    for length in lengths:
        vectors.append(flat[start : start + length].tolist())
        start += length
    return vectors
