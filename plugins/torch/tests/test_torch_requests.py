"""Requests on the real model: stopping, sampling, limits, cancel and split prefill do what they say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from sage_infer_contracts.chat import ChatMessage
from sage_infer_contracts.errors import CapacityExceeded, InvalidRequest, Unsupported
from sage_infer_contracts.sampling import SamplingParams

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="module")]

GREEDY = SamplingParams(max_tokens=24, temperature=0.0)
STORY = "Once upon a time, in a village by the sea,"


class Clock:
    """Seconds that pass when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def backend(open_backend: Callable[..., Any], model_path: str) -> AsyncIterator[Any]:
    async with open_backend(
        model_path, {"lease_s": 60.0}, max_batch_size=4, max_waiting_requests=3, max_sequence_length=256
    ) as started:
        started.clock = Clock()
        started._engine.leases._clock = started.clock
        yield started


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def nothing_leaks(backend: Any) -> AsyncIterator[None]:
    """Every test gives back all blocks."""
    yield
    stats = await backend.stats()
    assert (stats.blocks_held, stats.running, stats.waiting) == (0, 0, 0)


async def one(backend: Any, prompt: Any, params: SamplingParams = GREEDY, **kwargs: Any) -> Any:
    (stream,) = await backend.generate([prompt], params, **kwargs)
    return await stream.collect()


async def test_max_tokens_ends_the_output_with_length(backend: Any) -> None:
    done = await one(backend, STORY)
    assert done.finish_reason == "length"
    assert len(done.token_ids) == done.usage.completion_tokens == 24


async def test_eos_ends_the_output_and_ignore_eos_goes_on(backend: Any) -> None:
    ids = await backend.tokenizer.encode_chat([ChatMessage(role="user", content="Say only: hi")])
    params = SamplingParams(max_tokens=60, temperature=0.0)
    done = await one(backend, ids, params)
    assert done.finish_reason == "eos"
    assert done.token_ids[-1] == 2
    on = await one(backend, ids, params.model_copy(update={"ignore_eos": True}))
    assert on.finish_reason == "length"
    assert on.token_ids[: len(done.token_ids)] == done.token_ids


async def test_a_stop_string_cuts_the_text_before_it(backend: Any) -> None:
    whole = await one(backend, STORY)
    stop = whole.text[20:27]
    done = await one(backend, STORY, GREEDY.model_copy(update={"stop": ("never there", stop)}))
    assert done.finish_reason == "stop_string"
    assert done.stop_reason == stop
    assert done.text == whole.text[: whole.text.index(stop)]
    assert whole.token_ids[: len(done.token_ids)] == done.token_ids


async def test_a_stop_token_ends_the_output_with_its_id(backend: Any) -> None:
    whole = await one(backend, STORY)
    stop = whole.token_ids[7]
    done = await one(backend, STORY, GREEDY.model_copy(update={"stop_token_ids": (stop,)}))
    assert done.finish_reason == "stop_token"
    assert done.stop_reason == stop
    assert done.token_ids == whole.token_ids[: whole.token_ids.index(stop) + 1]


async def test_max_tokens_none_runs_to_the_end_of_the_context(backend: Any) -> None:
    ids = list(range(1000, 1240))
    params = SamplingParams(max_tokens=None, temperature=0.0, ignore_eos=True)
    assert len((await one(backend, ids, params)).token_ids) == 16


async def test_pieces_of_text_join_to_the_decoded_whole(backend: Any) -> None:
    params = SamplingParams(max_tokens=48, temperature=1.5, seed=3, ignore_eos=True)
    for prompt in ("🙂🐶🐱 emoji only: 🙂", "人工智能的未来", "Ünïcödé"):
        (stream,) = await backend.generate([prompt], params)
        pieces = [delta async for delta in stream]
        ids = [token for delta in pieces for token in delta.token_ids]
        assert "".join(delta.text for delta in pieces) == await backend.tokenizer.decode(ids)
        assert len(ids) == 48
        assert [delta.finish_reason for delta in pieces[:-1]] == [None] * (len(pieces) - 1)


async def test_a_seed_gives_the_same_tokens_alone_and_in_a_batch(backend: Any) -> None:
    params = SamplingParams(max_tokens=24, temperature=0.9, top_p=0.95, top_k=50, seed=-7)
    alone = await one(backend, STORY, params)
    others = SamplingParams(max_tokens=24, temperature=1.0, seed=1)
    noise = await backend.generate(["The moon", "def f(x):", "人工智能"], others)
    again = await one(backend, STORY, params)
    await asyncio.gather(*(stream.collect() for stream in noise))
    assert alone.token_ids == again.token_ids
    different = await one(backend, STORY, params.model_copy(update={"seed": 8}))
    assert different.token_ids != alone.token_ids


async def test_top_k_one_and_tiny_temperatures_are_greedy(backend: Any) -> None:
    greedy = await one(backend, STORY)
    for params in (
        SamplingParams(max_tokens=24, temperature=1.0, top_k=1, seed=1),
        SamplingParams(max_tokens=24, temperature=1e-6, seed=1),
        SamplingParams(max_tokens=24, temperature=1.0, top_p=1e-9, seed=1),
    ):
        assert (await one(backend, STORY, params)).token_ids == greedy.token_ids


@pytest.mark.parametrize(
    ("prompt", "changes", "param", "message"),
    [
        ([], {}, "prompt", "no tokens"),
        ("", {}, "prompt", "no tokens"),
        ([49_152], {}, "prompt", "49151"),
        ([-1], {}, "prompt", "token id"),
        ([True], {}, "prompt", "token id"),
        (list(range(256)), {"max_tokens": None}, "prompt", "max_sequence_length is 256"),
        (list(range(250)), {"max_tokens": 7}, "max_tokens", "max_sequence_length 256"),
        ("\ud800", {}, "prompt", "Unicode"),
        ([1], {"stop_token_ids": (49_152,)}, "stop_token_ids", "49151"),
        ([1], {"logit_bias": {49_152: 1.0}}, "logit_bias", "49151"),
        ([1], {"logit_bias": {-1: 1.0}}, "logit_bias", "49151"),
        ([1], {"logit_bias": {1: float("nan")}}, "logit_bias", "nan"),
        ([1], {"logprobs": 49_153}, "logprobs", "49152"),
    ],
)
async def test_what_breaks_a_limit_is_refused_by_name(
    backend: Any, prompt: Any, changes: dict[str, Any], param: str, message: str
) -> None:
    with pytest.raises(InvalidRequest, match=message) as refused:
        await backend.generate([prompt], GREEDY.model_copy(update=changes))
    assert refused.value.param == param


async def test_the_longest_allowed_prompt_is_served(backend: Any) -> None:
    assert len((await one(backend, list(range(255)), SamplingParams(max_tokens=1))).token_ids) == 1


async def test_prompts_must_be_a_list_of_prompts(backend: Any) -> None:
    for wrong in ("text", [1, 2, 3], []):
        with pytest.raises(InvalidRequest):
            await backend.generate(wrong, GREEDY)


async def test_parameters_without_their_capability_are_refused(backend: Any) -> None:
    with pytest.raises(Unsupported, match="json_schema"):
        await backend.generate([STORY], SamplingParams(json_schema="{}"))


async def test_several_outputs_of_a_prompt_share_its_blocks_and_repeat_with_the_seed(backend: Any) -> None:
    prompts = [list(range(300, 349)), list(range(500, 533))]
    params = SamplingParams(max_tokens=12, n=3, seed=5, ignore_eos=True, logprobs=0)

    async def outputs() -> list[tuple[int, ...]]:
        streams = await backend.generate(prompts, params)
        return [(await stream.collect()).token_ids for stream in streams]

    before = (await backend.stats()).computed_tokens
    first = await outputs()
    computed = (await backend.stats()).computed_tokens - before
    assert len(set(first)) == 6
    assert computed == 49 + 2 * (49 - 48) + 33 + 2 * (33 - 32), "each full block of a prompt is computed once"
    assert await outputs() == first
    alone = [
        (await one(backend, ids, params.model_copy(update={"n": 1, "logprobs": None}))).token_ids
        for ids in prompts
    ]
    assert [first[0], first[3]] == alone, "the first output is that of a request for one"
    with pytest.raises(Unsupported, match="n must be 1"):
        await backend.prefill(prompts, request_id="several", params=params)


async def test_greedy_logprobs_are_of_the_tokens_and_lead_their_alternatives(backend: Any) -> None:
    (stream,) = await backend.generate([STORY], GREEDY.model_copy(update={"logprobs": 2}))
    deltas = [delta async for delta in stream]
    for delta in deltas:
        assert delta.logprobs is not None
        for token, found in zip(delta.token_ids, delta.logprobs, strict=True):
            assert found.token_id == token == found.top[0][0]
            assert found.top[0][1] == pytest.approx(found.logprob)
            assert found.top[1][1] <= found.logprob <= 0.0


async def test_a_stop_string_counts_only_after_min_tokens(backend: Any) -> None:
    text = (await one(backend, STORY)).text
    stop = text.split()[0]
    assert (await one(backend, STORY, GREEDY.model_copy(update={"stop": (stop,)}))).text.strip() == ""
    later = await one(backend, STORY, GREEDY.model_copy(update={"stop": (stop,), "min_tokens": 10}))
    assert len(later.token_ids) > 10
    assert later.text.lstrip().startswith(stop)


async def test_one_bad_prompt_refuses_the_whole_call(backend: Any) -> None:
    before = (await backend.stats()).generated_tokens
    with pytest.raises(InvalidRequest):
        await backend.generate([STORY, [99_999]], GREEDY)
    assert (await backend.stats()).generated_tokens == before


async def test_a_full_queue_refuses_all_of_a_call_and_serves_later(backend: Any) -> None:
    streams = await backend.generate([STORY] * 6, GREEDY)
    with pytest.raises(CapacityExceeded, match="max_waiting_requests 3"):
        await backend.generate([STORY] * 2, GREEDY)
    streams += await backend.generate([STORY], GREEDY)
    done = await asyncio.gather(*(stream.collect() for stream in streams))
    assert len({completion.token_ids for completion in done}) == 1
    with pytest.raises(InvalidRequest, match="8 sequences"):
        await backend.generate([STORY] * 8, GREEDY)


async def test_cancel_ends_the_stream_and_returns_the_blocks(backend: Any) -> None:
    long = SamplingParams(max_tokens=200, temperature=0.0, ignore_eos=True)
    streams = await backend.generate([STORY] * 6, long, request_id="many")
    await anext(streams[0])
    assert await backend.cancel("many/5")
    assert (await streams[5].collect()).finish_reason == "cancelled"
    assert await backend.cancel("many")
    done = await asyncio.gather(*(stream.collect() for stream in streams[:5]))
    assert {completion.finish_reason for completion in done} == {"cancelled"}
    for completion in done:
        assert (
            completion.text == await backend.tokenizer.decode(completion.token_ids) or completion is done[0]
        )
    assert not await backend.cancel("many")
    assert not await backend.cancel("unknown")


async def test_a_cancelled_reader_cancels_its_sequence(backend: Any) -> None:
    long = SamplingParams(max_tokens=200, temperature=0.0, ignore_eos=True)
    (stream,) = await backend.generate([STORY], long, request_id="reader")
    await anext(stream)
    reader = asyncio.ensure_future(stream.collect())
    await asyncio.sleep(0)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    remaining = [delta async for delta in stream]
    assert remaining[-1].finish_reason == "cancelled"


async def test_a_request_id_in_use_is_refused(backend: Any) -> None:
    (stream,) = await backend.generate([STORY], GREEDY, request_id="twice")
    with pytest.raises(InvalidRequest, match="twice"):
        await backend.generate([STORY], GREEDY, request_id="twice")
    await stream.collect()


async def test_sampled_prefill_and_decode_give_what_generate_gives(backend: Any) -> None:
    params = SamplingParams(max_tokens=20, temperature=0.8, seed=5, stop=("zzz",))
    whole = await one(backend, STORY, params)
    (first,) = (await backend.prefill([STORY], request_id="split", params=params)).sequences
    assert first.state.rng.draws == 1
    assert (await backend.stats()).blocks_held > 0
    assert (await backend.stats()).running == 0
    rest = await (await backend.decode(first.state, request_id="split")).stream.collect()
    assert first.first.token_ids + rest.token_ids == whole.token_ids
    assert first.first.text + rest.text == whole.text
    with pytest.raises(InvalidRequest, match="lease is over"):
        await backend.decode(first.state, request_id="again")


async def test_a_prefill_that_ends_at_once_has_no_state(backend: Any) -> None:
    result = await backend.prefill([STORY], request_id="short", params=SamplingParams(max_tokens=1))
    assert result.states == ()
    assert result.sequences[0].first.finish_reason == "length"


async def test_release_and_cancel_free_a_parked_prefill(backend: Any) -> None:
    (state,) = (await backend.prefill([STORY], request_id="left", params=GREEDY)).states
    await backend.release(state)
    assert (await backend.stats()).blocks_held == 0
    with pytest.raises(InvalidRequest):
        await backend.release(state)
    (state,) = (await backend.prefill([STORY], request_id="left", params=GREEDY)).states
    assert await backend.cancel("left")
    with pytest.raises(InvalidRequest):
        await backend.decode(state, request_id="x")
    await backend._engine.discard([])  # the engine has looked at the cancel by then


async def test_an_abandoned_prefill_frees_its_blocks_when_its_lease_ends(backend: Any) -> None:
    (state,) = (await backend.prefill([STORY], request_id="abandoned", params=GREEDY)).states
    assert (await backend.stats()).blocks_held > 0
    backend.clock.now += 61.0
    with pytest.raises(InvalidRequest, match="expired"):
        await backend.decode(state, request_id="late")
    await backend._engine.discard([])  # the engine has looked at the clock by then
    assert (await backend.stats()).blocks_held == 0


async def test_parked_prefills_are_not_running_and_block_nobody(backend: Any) -> None:
    states = (await backend.prefill([STORY] * 7, request_id="many", params=GREEDY)).states
    assert len((await one(backend, STORY)).token_ids) == 24
    for state in states:
        await backend.release(state)


async def test_a_cancelled_prefill_gives_back_everything(backend: Any) -> None:
    task = asyncio.ensure_future(backend.prefill([list(range(200))] * 7, request_id="gone", params=GREEDY))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await backend._engine.discard([])  # the engine has looked at the cancel by then
    assert backend._engine.live.count == 0


async def test_undeclared_capabilities_refuse(backend: Any) -> None:
    with pytest.raises(Unsupported):
        backend.load_quant_profile(None)


async def test_the_schema_is_that_of_the_pool(backend: Any) -> None:
    schema = backend.get_kv_schema()
    core = backend._engine._thread.started.result()
    page = core.pool.keys[0]
    assert tuple(page.shape[1:]) == (schema.page_size, schema.num_heads, schema.head_dim)
    assert len(core.pool.keys) == schema.num_layers
    stored = sum(tensor.nbytes for tensor in (*core.pool.keys, *core.pool.values))
    assert stored == schema.block_bytes * core.pool.num_blocks
    assert backend.get_capability().kv_cache_capacity_gb == stored / 1e9


async def test_a_failing_step_fails_its_requests_only_and_leaks_nothing(
    backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sage_infer_contracts.errors import BackendUnavailable

    model = type(backend._engine._thread.started.result().model)
    with monkeypatch.context() as broken:
        broken.setattr(
            model, "forward", lambda self, batch: (_ for _ in ()).throw(RuntimeError("device lost"))
        )
        with pytest.raises(BackendUnavailable, match="device lost"):
            await one(backend, STORY)
    assert (await backend.health()).state == "ready"
    assert len((await one(backend, STORY)).token_ids) == 24
