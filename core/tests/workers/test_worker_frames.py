"""Frames and codec: what goes in comes out, and bad bytes end in an error of the family."""

from __future__ import annotations

import asyncio
import math
import socket
from typing import Any

import pytest
from hypothesis import given, strategies as st

from sage_infer.workers import codec, frames
from sage_infer.workers.blocking import BlockingLine
from sage_infer_contracts.errors import (
    BackendUnavailable,
    CapacityExceeded,
    DeadlineExceeded,
    IntegrityError,
    InvalidRequest,
)
from sage_infer_contracts.states import PrefilledSequence, PrefillResult
from sage_infer_contracts.streams import TokenDelta, TokenLogprob, Usage

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
COUNTS = st.integers(0, 2**31)
DELTAS = st.builds(
    TokenDelta,
    st.lists(COUNTS).map(tuple),
    st.text(),
    st.none() | st.sampled_from(["eos", "stop_string", "stop_token", "length", "cancelled"]),
    st.none() | st.text() | COUNTS,
    st.none() | st.builds(Usage, COUNTS, COUNTS, COUNTS, COUNTS),
    st.none()
    | st.lists(
        st.builds(
            TokenLogprob,
            COUNTS,
            st.floats(allow_nan=False),
            st.lists(st.tuples(COUNTS, st.floats(allow_nan=False))).map(tuple),
        )
    ).map(tuple),
)


def read_all(data: bytes) -> list[Any]:
    async def run() -> list[Any]:
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        values = []
        while not reader.at_eof():
            values.append(await frames.read_frame(reader, limit_bytes=1000))
        return values

    return asyncio.run(run())


@given(st.lists(PLAIN, min_size=1, max_size=5))
def test_frames_in_a_row_come_back_as_they_were(values: list[Any]) -> None:
    data = b"".join(frames.frame(frames.pack(value), limit_bytes=10**6) for value in values)
    if max(len(frames.pack(value)) for value in values) <= 1000:
        assert read_all(data) == values


@given(st.binary(max_size=200))
def test_noise_is_an_error_of_the_family_or_the_end(data: bytes) -> None:
    try:
        read_all(data)
    except (IntegrityError, EOFError):
        return


def test_a_frame_above_the_limit_is_refused_on_both_sides() -> None:
    with pytest.raises(CapacityExceeded, match="11 bytes"):
        frames.frame(b"x" * 11, limit_bytes=10)
    with pytest.raises(IntegrityError, match="announces 2000"):
        read_all(frames.frame(b"x" * 2000))


def test_what_is_not_plain_data_is_refused() -> None:
    with pytest.raises(IntegrityError, match="process boundary"):
        frames.pack(object())
    with pytest.raises(IntegrityError):
        frames.pack(2**70)


@given(DELTAS)
def test_a_delta_survives_the_wire(delta: TokenDelta) -> None:
    plain = frames.unpack(frames.pack(codec.delta_to_row(7, delta)))
    back = codec.delta_from_row(plain)
    if delta.finish_reason is None and delta.logprobs is None:
        assert (back.token_ids, back.text) == (delta.token_ids, delta.text)
    else:
        assert back == delta


def test_an_error_row_is_told_from_a_delta() -> None:
    row = frames.unpack(frames.pack(codec.error_to_row(1, InvalidRequest("bad", param="prompt"))))
    error = codec.row_error(row)
    assert isinstance(error, InvalidRequest)
    assert error.param == "prompt"
    assert codec.row_error(codec.delta_to_row(1, TokenDelta((1,), "a"))) is None


def test_a_prefill_that_is_already_over_has_no_state() -> None:
    done = TokenDelta((1,), "a", "length", None, Usage(1, 1, 1, 0))
    result = PrefillResult("r", (PrefilledSequence(done, None),))
    assert codec.prefill_from_plain(frames.unpack(frames.pack(codec.prefill_to_plain(result)))) == result


@given(st.lists(st.lists(st.floats(allow_nan=False), max_size=5), max_size=5))
def test_vectors_keep_every_bit(vectors: list[list[float]]) -> None:
    back = codec.vectors_from_plain(frames.unpack(frames.pack(codec.vectors_to_plain(vectors))))
    assert back == vectors
    assert [math.copysign(1, x) for v in back for x in v] == [math.copysign(1, x) for v in vectors for x in v]


def test_vectors_of_another_byte_order_are_turned_and_torn_ones_refused() -> None:
    order, lengths, payload = codec.vectors_to_plain([[1.5, -2.0]])
    other = "big" if order == "little" else "little"
    swapped = b"".join(payload[i : i + 8][::-1] for i in (0, 8))
    assert codec.vectors_from_plain([other, lengths, swapped]) == [[1.5, -2.0]]
    with pytest.raises(IntegrityError, match="do not hold"):
        codec.vectors_from_plain([order, [3], payload])


def test_the_blocking_line_ends_by_its_deadline_and_when_the_peer_goes() -> None:
    ours, theirs = socket.socketpair()
    line = BlockingLine(ours, "polly")
    with theirs, pytest.raises(DeadlineExceeded, match=r"within 0.05 s"):
        line.call("load_quant_profile", timeout_s=0.05)
    with pytest.raises(BackendUnavailable):
        line.call("load_quant_profile", timeout_s=1)
    ours, theirs = socket.socketpair()
    theirs.close()
    with pytest.raises(BackendUnavailable):
        BlockingLine(ours, "polly").call("x", timeout_s=1)
    ours.close()
