"""One request at a time and several at once: parameters, stops, limits, cancel, logprobs, structured output."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any

import pytest
from waiting import until

from sage_infer_contracts.capabilities import Capability
from sage_infer_contracts.chat import ChatMessage
from sage_infer_contracts.errors import CapacityExceeded, InvalidRequest, Unsupported
from sage_infer_contracts.quantization import QuantizationProfile
from sage_infer_contracts.sampling import SamplingParams
from sage_infer_contracts.streams import Completion, TokenDelta

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="module")]
GREEDY = SamplingParams(max_tokens=24, temperature=0.0)
STORY = "Once upon a time, in a village by the sea,"


async def run(backend: Any, prompt: Any, params: SamplingParams, name: str = "r") -> Completion:
    (stream,) = await backend.generate([prompt], params, request_id=name)
    done: Completion = await stream.collect()
    return done


async def deltas(backend: Any, prompt: Any, params: SamplingParams) -> list[TokenDelta]:
    (stream,) = await backend.generate([prompt], params)
    return [delta async for delta in stream]


def greedy(**changes: Any) -> SamplingParams:
    return GREEDY.model_copy(update=changes)


async def test_a_chat_is_answered(backend: Any) -> None:
    ids = await backend.tokenizer.encode_chat(
        [ChatMessage(role="user", content="What is the capital of France?")]
    )
    done = await run(backend, ids, GREEDY)
    assert (done.text, done.finish_reason) == ("The capital of France is Paris.", "eos")
    assert done.usage.prompt_tokens == len(ids)
    assert done.usage.completion_tokens == len(done.token_ids)


async def test_max_tokens_and_ignore_eos(backend: Any) -> None:
    ids = await backend.tokenizer.encode_chat(
        [ChatMessage(role="user", content="What is the capital of France?")]
    )
    done = await run(backend, ids, greedy(ignore_eos=True, max_tokens=20))
    assert (len(done.token_ids), done.finish_reason) == (20, "length")
    assert (await run(backend, ids, greedy(max_tokens=3))).finish_reason == "length"
    later = await run(backend, ids, greedy(min_tokens=12, max_tokens=20))
    assert len(later.token_ids) >= 12


async def test_a_stop_string_is_cut_out_of_the_text(backend: Any) -> None:
    whole = await run(backend, STORY, greedy(ignore_eos=True))
    stop = whole.text[10:16]
    pieces = await deltas(backend, STORY, greedy(ignore_eos=True, stop=("never", stop)))
    assert (pieces[-1].finish_reason, pieces[-1].stop_reason) == ("stop_string", stop)
    assert "".join(piece.text for piece in pieces) == whole.text[: whole.text.index(stop)]


async def test_a_stop_token_ends_the_output_and_its_text_stays(backend: Any) -> None:
    whole = await run(backend, STORY, greedy(ignore_eos=True))
    token = whole.token_ids[7]
    at = whole.token_ids.index(token)
    done = await run(backend, STORY, greedy(ignore_eos=True, stop_token_ids=(token,)))
    assert done.token_ids == whole.token_ids[: at + 1]
    assert (done.finish_reason, done.stop_reason) == ("stop_token", token)
    assert done.text == await backend.tokenizer.decode(done.token_ids)


async def test_text_joins_to_the_decoded_whole_across_characters_of_many_bytes(backend: Any) -> None:
    for prompt in ("🙂 Emoji story: 🐶🐱", "人工智能的未来", "Столица России —"):
        for tokens in (1, 2, 3, 24):
            pieces = await deltas(backend, prompt, greedy(ignore_eos=True, max_tokens=tokens))
            ids = [token for piece in pieces for token in piece.token_ids]
            before = (await backend.tokenizer.encode(prompt))[-1:]
            expected = (await backend.tokenizer.decode([*before, *ids]))[
                len(await backend.tokenizer.decode(before)) :
            ]
            assert "".join(piece.text for piece in pieces) == expected
            assert [piece.finish_reason for piece in pieces[:-1]] == [None] * (len(pieces) - 1)


async def test_seeds_repeat_and_differ(backend: Any) -> None:
    def hot(seed: int | None) -> SamplingParams:
        return SamplingParams(max_tokens=16, temperature=1.0, seed=seed, ignore_eos=True)

    for seed in (0, -1, 2**63 - 1, -(2**63)):
        one, two = await asyncio.gather(
            run(backend, STORY, hot(seed), f"a{seed}"), run(backend, STORY, hot(seed), f"b{seed}")
        )
        assert one.token_ids == two.token_ids
    assert (await run(backend, STORY, hot(1))).token_ids != (await run(backend, STORY, hot(2))).token_ids


async def test_n_outputs_of_each_prompt_in_order(backend: Any) -> None:
    params = SamplingParams(max_tokens=8, temperature=1.0, seed=5, n=3, ignore_eos=True)
    streams = await backend.generate([STORY, "def f(x):"], params, request_id="n")
    assert [stream.request_id for stream in streams] == [f"n/{index}" for index in range(6)]
    done = await asyncio.gather(*(stream.collect() for stream in streams))
    assert len({d.token_ids for d in done[:3]}) == 3
    alone = await run(backend, STORY, params.model_copy(update={"n": 1, "seed": 6}))
    assert done[1].token_ids == alone.token_ids
    same = await backend.generate([STORY], greedy(n=2, max_tokens=4))
    assert len({(await stream.collect()).token_ids for stream in same}) == 1


async def test_logprobs_are_those_of_the_emitted_tokens(backend: Any) -> None:
    pieces = await deltas(backend, STORY, greedy(logprobs=3, ignore_eos=True, max_tokens=6))
    entries = [entry for piece in pieces for entry in piece.logprobs or ()]
    assert [entry.token_id for entry in entries] == [token for piece in pieces for token in piece.token_ids]
    for entry in entries:
        assert len(entry.top) == 3
        assert entry.top[0] == (entry.token_id, entry.logprob), "greedy takes the most likely"
        assert sum(math.exp(value) for _, value in entry.top) <= 1.0001
    (only,) = (await deltas(backend, STORY, greedy(logprobs=0, max_tokens=1)))[0].logprobs or ()
    assert only.logprob == pytest.approx(entries[0].logprob, abs=1e-4)


async def test_a_logit_bias_changes_the_choice(backend: Any) -> None:
    first = (await run(backend, STORY, greedy(max_tokens=1))).token_ids[0]
    banned = await run(backend, STORY, greedy(max_tokens=1, logit_bias={first: -100.0}))
    assert banned.token_ids[0] != first
    forced = await run(backend, STORY, greedy(max_tokens=1, logit_bias={1234: 100.0}))
    assert forced.token_ids == (1234,)


async def test_a_json_schema_is_kept(backend: Any) -> None:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 12},
            "age": {"type": "integer", "maximum": 99},
        },
        "required": ["name", "age"],
        "additionalProperties": False,
    }
    done = await run(backend, "A person as JSON: ", greedy(max_tokens=80, json_schema=json.dumps(schema)))
    assert done.finish_reason == "eos"
    assert set(json.loads(done.text)) == {"name", "age"}
    with pytest.raises(InvalidRequest):
        await run(backend, STORY, greedy(json_schema='{"type": "no such type"}'))


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"temperature": 0.005}, "temperature"),
        ({"temperature": 2.5}, "temperature"),
        ({"logprobs": 21}, "logprobs"),
        ({"stop_token_ids": (10**6,)}, "stop_token_ids"),
        ({"logit_bias": {10**6: 1.0}}, "logit_bias"),
        ({"logit_bias": {5: 101.0}}, "logit_bias"),
        ({"logit_bias": {5: float("nan")}}, "logit_bias"),
        ({"max_tokens": 2048}, "max_tokens"),
    ],
)
async def test_what_vllm_would_not_take_as_it_is_is_refused_by_name(
    backend: Any, changes: dict[str, Any], param: str
) -> None:
    before = (await backend.stats()).computed_tokens
    with pytest.raises(InvalidRequest) as refused:
        await backend.generate([STORY], greedy(**changes))
    assert refused.value.param == param
    assert (await backend.stats()).computed_tokens == before


@pytest.mark.parametrize(
    "prompt", [[], [10**6], [-1], [True], [5] * 2048], ids=["empty", "high", "low", "bool", "long"]
)
async def test_a_prompt_outside_the_limits_is_refused(backend: Any, prompt: list[int]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await backend.generate([prompt], greedy(max_tokens=1))
    assert refused.value.param == "prompt"


async def test_everything_within_the_limits_is_served(backend: Any) -> None:
    longest = backend.get_capability().max_sequence_length
    done = await run(backend, [5] * (longest - 1), greedy(max_tokens=None, ignore_eos=True))
    assert len(done.token_ids) == 1
    done = await run(backend, [7] * (longest - 8), greedy(max_tokens=8, ignore_eos=True))
    assert len(done.token_ids) == 8


async def test_a_full_queue_refuses_all_of_a_call_and_serves_later(backend: Any) -> None:
    limits = backend.get_capability()
    room = limits.max_batch_size + limits.max_waiting_requests
    short = greedy(max_tokens=2)
    streams = await backend.generate([STORY] * (room - 1), short)
    with pytest.raises(CapacityExceeded, match="max_waiting_requests"):
        await backend.generate([STORY] * 2, short)
    with pytest.raises(InvalidRequest, match="request id"):
        await backend.generate([STORY], short, request_id=streams[0].request_id)
    done = await asyncio.gather(*(stream.collect() for stream in streams))
    assert len({completion.token_ids for completion in done}) == 1
    with pytest.raises(InvalidRequest, match=f"{room + 1} sequences"):
        await backend.generate([STORY] * (room + 1), short)
    await run(backend, STORY, short)


async def test_one_bad_prompt_refuses_the_whole_call(backend: Any) -> None:
    before = (await backend.stats()).generated_tokens
    with pytest.raises(InvalidRequest):
        await backend.generate([STORY, [99_999]], GREEDY)
    assert (await backend.stats()).generated_tokens == before


async def test_cancel_ends_the_streams_and_vllms_own_gauge_says_the_blocks_are_free(backend: Any) -> None:
    long = SamplingParams(max_tokens=1500, temperature=0.0, ignore_eos=True)
    streams = await backend.generate([STORY] * 6, long, request_id="many")
    async for _ in streams[0]:
        break

    async def held() -> bool:
        return bool((await backend.stats()).blocks_held >= 6)

    async def free() -> bool:
        stats = await backend.stats()
        return bool(stats.blocks_held == stats.running == stats.waiting == 0)

    await until(held)
    streams[5].cancel()
    assert (await streams[5].collect()).finish_reason == "cancelled"
    assert await backend.cancel("many/1")
    assert await backend.cancel("many")
    done = await asyncio.gather(*(stream.collect() for stream in streams[:5]))
    assert {completion.finish_reason for completion in done} == {"cancelled"}
    await until(free)
    assert not await backend.cancel("many")
    assert not await backend.cancel("nobody")


async def test_cancel_of_what_still_waits(backend: Any) -> None:
    seats = backend.get_capability().max_batch_size
    long = SamplingParams(max_tokens=400, temperature=0.0, ignore_eos=True)
    running = await backend.generate([STORY] * seats, long, request_id="running")
    waiting = await backend.generate([STORY], long, request_id="waiting")
    assert await backend.cancel("waiting")
    assert (await waiting[0].collect()).finish_reason == "cancelled"
    assert await backend.cancel("running")
    for stream in running:
        await stream.collect()


async def test_requests_do_not_mix(backend: Any) -> None:
    texts = [
        "1, 1, 2, 3, 5, 8,",
        "La capital de España es",
        "def fibonacci(n):",
        "<html>\n<head>",
        "A",
        "E = mc^2",
    ]
    params = [greedy(max_tokens=10 + index, ignore_eos=True) for index in range(len(texts))]
    alone = [await run(backend, text, param) for text, param in zip(texts, params, strict=True)]
    together = await asyncio.gather(
        *(run(backend, text, param, text) for text, param in zip(texts, params, strict=True))
    )
    assert [done.token_ids for done in together] == [done.token_ids for done in alone]


async def test_reuse_is_the_engines_own_count(backend: Any) -> None:
    ids = [(index * 31 + 17) % 30_000 for index in range(600)]
    cold = await run(backend, ids, greedy(max_tokens=4, ignore_eos=True))
    before = await backend.stats()
    warm = await run(backend, ids, greedy(max_tokens=4, ignore_eos=True))
    after = await backend.stats()
    assert cold.usage.reused_prompt_tokens == 0
    assert warm.usage.reused_prompt_tokens == after.reused_tokens - before.reused_tokens == 512
    assert warm.usage.computed_prompt_tokens == after.computed_tokens - before.computed_tokens == 88
    assert warm.token_ids == cold.token_ids


async def test_the_schema_is_what_the_workers_allocated(backend: Any) -> None:
    schema, capability = backend.get_kv_schema(), backend.get_capability()
    report = await backend._engine.kv_report()
    assert schema.block_bytes * report["num_blocks"] == report["tensor_bytes"]
    assert schema.bytes_per_token == 46_080
    assert capability.kv_schema == schema
    assert capability.kv_cache_capacity_gb * 1e9 == pytest.approx(report["tensor_bytes"])
    assert (await backend.stats()).blocks_total == report["num_blocks"] - 1


async def test_what_is_not_declared_is_refused(backend: Any) -> None:
    assert Capability.BACKEND_QUANTIZATION not in backend.capabilities
    profile = QuantizationProfile(weight_bits=8, activation_bits=8, kv_bits_prefill=16, kv_bits_decode=16)
    with pytest.raises(Unsupported, match="quantization=METHOD"):
        backend.load_quant_profile(profile)
    assert Capability.BACKEND_KV_EXPORT not in backend.capabilities
    state = (await backend.prefill([STORY], request_id="x", params=GREEDY)).states[0]
    with pytest.raises(Unsupported):
        await backend.export_kv(state, "file:///tmp/x")
    await backend.release(state)
