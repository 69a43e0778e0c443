"""TokenStream: order, end, errors and cancellation."""

import asyncio

import pytest

from sage_infer_contracts.errors import BackendUnavailable
from sage_infer_contracts.streams import TokenDelta, TokenStream, Usage

USAGE = Usage(prompt_tokens=3, completion_tokens=2, computed_prompt_tokens=3, reused_prompt_tokens=0)


def last(text: str = "", *tokens: int) -> TokenDelta:
    return TokenDelta(tokens, text, finish_reason="length", usage=USAGE)


async def test_deltas_arrive_once_and_in_order() -> None:
    stream = TokenStream("r")
    stream.push(TokenDelta((1,), "a"))
    stream.push(last("b", 2))
    assert [delta.text async for delta in stream] == ["a", "b"]


async def test_a_waiting_reader_is_woken() -> None:
    stream = TokenStream("r")
    reader = asyncio.create_task(stream.collect())
    await asyncio.sleep(0)
    stream.push(last("x", 7))
    completion = await reader
    assert (completion.token_ids, completion.text, completion.usage) == ((7,), "x", USAGE)


async def test_nothing_follows_the_last_delta() -> None:
    stream = TokenStream("r")
    stream.push(last("a", 1))
    stream.push(TokenDelta((2,), "late"))
    stream.fail(BackendUnavailable("late"))
    assert (await stream.collect()).text == "a"
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_an_error_comes_after_the_deltas_before_it() -> None:
    stream = TokenStream("r")
    stream.push(TokenDelta((1,), "a"))
    stream.fail(BackendUnavailable("worker died"))
    assert (await anext(stream)).text == "a"
    with pytest.raises(BackendUnavailable, match="worker died"):
        await anext(stream)


async def test_cancelling_the_collector_cancels_the_sequence() -> None:
    cancelled: list[bool] = []
    stream = TokenStream("r", on_cancel=lambda: cancelled.append(True))
    reader = asyncio.create_task(stream.collect())
    await asyncio.sleep(0)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert cancelled == [True]


async def test_cancel_after_the_end_is_silent() -> None:
    cancelled: list[bool] = []
    stream = TokenStream("r", on_cancel=lambda: cancelled.append(True))
    stream.push(last())
    stream.cancel()
    assert stream.ended
    assert cancelled == []


async def test_a_stream_that_ends_without_usage_is_an_error_not_an_empty_answer() -> None:
    stream = TokenStream("r")
    stream.push(TokenDelta((), "", finish_reason="length"))
    with pytest.raises(BackendUnavailable, match="without"):
        await stream.collect()


def test_a_sink_gets_what_waits_and_then_each_event_as_it_comes() -> None:
    stream, seen = TokenStream("r"), []
    stream.push(TokenDelta((1,), "a"))
    stream.forward(seen.append)
    assert [event.text for event in seen] == ["a"]
    stream.push(TokenDelta((2,), "b"))
    stream.push(last("c", 3))
    stream.push(TokenDelta((4,), "late"))
    assert [event.text for event in seen] == ["a", "b", "c"]
    assert stream.ended


def test_a_sink_gets_the_error_whether_it_came_before_or_after() -> None:
    error = BackendUnavailable("gone")
    early, late, seen = TokenStream("r"), TokenStream("s"), []
    early.fail(error)
    early.forward(seen.append)
    late.forward(seen.append)
    late.fail(error)
    assert seen == [error, error]
