"""Prefill and decode as separate calls: nothing is computed twice, states are used once, leases end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from waiting import until

from sage_infer_contracts.errors import InvalidRequest, Unsupported
from sage_infer_contracts.sampling import SamplingParams
from sage_infer_contracts.states import DecodeState

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="module")]
GREEDY = SamplingParams(max_tokens=12, temperature=0.0, ignore_eos=True)


def prompt(length: int, salt: int) -> list[int]:
    return [(index * 7919 + salt * 104_729 + 11) % 40_000 for index in range(length)]


async def whole(backend: Any, ids: list[int], params: SamplingParams, name: str) -> Any:
    (stream,) = await backend.generate([ids], params, request_id=name)
    return await stream.collect()


async def settled(backend: Any, held: int) -> None:
    """Wait until the engine's own gauge says that ``held`` blocks are held."""

    async def holds() -> bool:
        return bool((await backend.stats()).blocks_held == held)

    await until(holds)


@pytest.mark.parametrize("length", [5, 127, 128, 129, 1000])
async def test_decode_computes_nothing_of_the_prompt_again(backend: Any, length: int) -> None:
    ids = prompt(length, salt=length)
    start = await backend.stats()
    prefilled = await backend.prefill([ids], request_id="split", params=GREEDY)
    parked = await backend.stats()
    assert parked.computed_tokens - start.computed_tokens == length
    assert parked.blocks_held == -(-length // 128), "the prompt's blocks stay while nothing runs"
    assert parked.running == 0

    result = await backend.decode(prefilled.states[0], request_id="split")
    rest = await result.stream.collect()
    end = await backend.stats()
    assert end.computed_tokens == parked.computed_tokens
    assert end.reused_tokens == parked.reused_tokens, "not found again in a cache either: it never left"
    assert rest.usage.computed_prompt_tokens == length

    undivided = await whole(backend, ids, GREEDY, "whole")
    first = prefilled.sequences[0].first
    assert (*first.token_ids, *rest.token_ids) == undivided.token_ids
    assert first.text + rest.text == undivided.text
    await settled(backend, 0)


@pytest.mark.parametrize(
    "params",
    [
        GREEDY.model_copy(update={"presence_penalty": 1.5, "frequency_penalty": 1.0}),
        GREEDY.model_copy(update={"repetition_penalty": 1.8}),
        SamplingParams(max_tokens=12, temperature=0.9, top_p=0.95, top_k=50, seed=7, ignore_eos=True),
        SamplingParams(max_tokens=12, temperature=1.3, seed=-1, min_p=0.05),
        GREEDY.model_copy(update={"stop": (" the", "zzz"), "ignore_eos": False}),
        GREEDY.model_copy(update={"min_tokens": 9, "ignore_eos": False}),
    ],
    ids=["presence", "repetition", "seed", "seed -1", "stop", "min_tokens"],
)
async def test_parameters_go_on_where_they_were(backend: Any, params: SamplingParams) -> None:
    ids = await backend.tokenizer.encode("The cat sat on the mat, the dog sat on the")
    undivided = await whole(backend, ids, params, "whole")
    prefilled = await backend.prefill([ids], request_id="split", params=params)
    first = prefilled.sequences[0].first
    rest = await (await backend.decode(prefilled.states[0], request_id="split")).stream.collect()
    assert (*first.token_ids, *rest.token_ids) == undivided.token_ids
    assert first.text + rest.text == undivided.text
    assert (rest.finish_reason, rest.stop_reason) == (undivided.finish_reason, undivided.stop_reason)


async def test_logprobs_go_on_too(backend: Any) -> None:
    ids = prompt(20, salt=1)
    params = GREEDY.model_copy(update={"logprobs": 2})
    prefilled = await backend.prefill([ids], request_id="split", params=params)
    result = await backend.decode(prefilled.states[0], request_id="split")
    deltas = [prefilled.sequences[0].first, *[delta async for delta in result.stream]]
    logprobs = [entry for delta in deltas for entry in delta.logprobs or ()]
    assert [entry.token_id for entry in logprobs] == [token for delta in deltas for token in delta.token_ids]


async def test_parked_requests_leave_the_seats_to_others(backend: Any) -> None:
    """More prompts wait for decode than may run at once, others run meanwhile, then all go on together."""
    seats = backend.get_capability().max_batch_size
    prompts = [prompt(10 + index, salt=50 + index) for index in range(seats + 3)]
    prefilled = await backend.prefill(prompts, request_id="many", params=GREEDY)
    assert len(prefilled.states) == seats + 3
    between = await whole(backend, prompts[0], GREEDY, "between")
    running = await backend.generate(prompts[:seats], GREEDY, request_id="running")
    results = [
        await backend.decode(state, request_id=f"decode-{index}")
        for index, state in enumerate(prefilled.states)
    ]
    done = await asyncio.gather(*(result.stream.collect() for result in results))
    others = await asyncio.gather(*(stream.collect() for stream in running))
    tokens = [(*s.first.token_ids, *d.token_ids) for s, d in zip(prefilled.sequences, done, strict=True)]
    assert tokens[0] == between.token_ids
    assert tokens[:seats] == [other.token_ids for other in others]
    await settled(backend, 0)


async def test_a_first_token_that_ends_the_output_needs_no_decode(backend: Any) -> None:
    prefilled = await backend.prefill(
        [prompt(9, salt=3)], request_id="one", params=SamplingParams(max_tokens=1, temperature=0.0)
    )
    assert prefilled.states == ()
    assert prefilled.sequences[0].first.finish_reason == "length"
    await settled(backend, 0)


async def test_a_state_is_used_once_and_only_as_it_was_given(backend: Any) -> None:
    prefilled = await backend.prefill([prompt(9, salt=4)], request_id="a", params=GREEDY)
    (state,) = prefilled.states
    wrong = {
        "foreign": state.model_copy(update={"kv": state.kv.model_copy(update={"instance": "other"})}),
        "stale": state.model_copy(update={"kv": state.kv.model_copy(update={"generation": 99_999})}),
        "other tokens": state.model_copy(update={"output_token_ids": (1,)}),
        "other parameters": state.model_copy(update={"params": GREEDY.model_copy(update={"max_tokens": 3})}),
    }
    for why, spoiled in wrong.items():
        with pytest.raises(InvalidRequest):
            await backend.decode(spoiled, request_id=why)
    again = DecodeState.model_validate_json(state.model_dump_json())
    await (await backend.decode(again, request_id="b")).stream.collect()
    for _ in range(2):
        with pytest.raises(InvalidRequest, match="lease is over"):
            await backend.decode(state, request_id="c")


async def test_release_and_cancel_give_back_what_was_parked(backend: Any) -> None:
    prefilled = await backend.prefill(
        [prompt(300, salt=5), prompt(300, salt=6)], request_id="p", params=GREEDY
    )
    await settled(backend, 6)
    await backend.release(prefilled.states[0])
    await settled(backend, 3)
    with pytest.raises(InvalidRequest):
        await backend.release(prefilled.states[0])
    assert await backend.cancel("p")
    await settled(backend, 0)
    assert not await backend.cancel("p")
    with pytest.raises(InvalidRequest):
        await backend.decode(prefilled.states[1], request_id="p")


async def test_an_abandoned_prefill_is_given_up_when_its_lease_ends(backend: Any) -> None:
    prefilled = await backend.prefill([prompt(200, salt=8)], request_id="left", params=GREEDY)
    leases = backend._requests.leases
    clock, leases._clock = leases._clock, lambda: prefilled.states[0].kv.lease_expires_at_s + 1
    try:
        backend._requests._expire()
        await settled(backend, 0)
        with pytest.raises(InvalidRequest):
            await backend.decode(prefilled.states[0], request_id="late")
    finally:
        leases._clock = clock


async def test_a_caller_that_leaves_during_prefill_leaves_nothing(backend: Any) -> None:
    task = asyncio.create_task(
        backend.prefill([prompt(900, salt=9), prompt(900, salt=10)], request_id="gone", params=GREEDY)
    )

    async def submitted() -> bool:
        return bool(backend._requests.live.count)

    await until(submitted)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await settled(backend, 0)
    assert backend._requests.live.count == 0


async def test_prefill_makes_one_sequence_of_a_prompt(backend: Any) -> None:
    with pytest.raises(Unsupported, match="n must be 1"):
        await backend.prefill([prompt(9, salt=1)], request_id="n", params=GREEDY.model_copy(update={"n": 2}))
