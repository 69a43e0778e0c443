"""ProcessBackend against a real worker process: the contract must survive the process boundary."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable

import psutil
import pytest

from sage_infer.backends import open_backend
from sage_infer.plugins import Catalog, Registry
from sage_infer.workers import ProcessBackend, WorkerSettings
from sage_infer_contracts.backend import BackendConfig, ModelLocation
from sage_infer_contracts.chat import ChatMessage
from sage_infer_contracts.errors import (
    BackendUnavailable,
    CapacityExceeded,
    DeadlineExceeded,
    DeviceUnavailable,
    InvalidRequest,
    SageInferError,
    Unsupported,
)
from sage_infer_contracts.quantization import QuantizationProfile
from sage_infer_contracts.sampling import SamplingParams

GREEDY = SamplingParams(temperature=0, max_tokens=12)
FOREVER = SamplingParams(temperature=0, max_tokens=4000)
FAST_END = WorkerSettings(close_timeout_s=1.0, terminate_timeout_s=1.0, control_timeout_s=2.0)
Open = Callable[..., Awaitable[ProcessBackend]]


@pytest.fixture
async def open_parrot(testbed: object) -> AsyncIterator[Open]:
    opened: list[ProcessBackend] = []

    async def opener(
        settings: WorkerSettings | None = None, name: str = "parrot", **options: object
    ) -> ProcessBackend:
        model = ModelLocation(model_id="polly", path="/nowhere")
        config = BackendConfig(model=model, options=options, max_batch_size=64)
        backend = await open_backend(name, config, registry=Registry(Catalog.scan()), settings=settings)
        assert isinstance(backend, ProcessBackend)
        opened.append(backend)
        return backend

    yield opener
    for backend in opened:
        await backend.close()


async def test_a_prompt_comes_back_through_the_worker_in_order(open_parrot: Open) -> None:
    backend = await open_parrot()
    (stream,) = await backend.generate(["héllo→"], GREEDY, request_id="r1")
    done = await stream.collect()
    assert stream.request_id == "r1"
    assert done.text.startswith("héllo→")
    assert done.token_ids == tuple(("héllo→" * 2).encode()[:12])
    assert (done.finish_reason, done.usage.prompt_tokens, done.usage.completion_tokens) == ("length", 9, 12)


async def test_many_streams_at_once_do_not_mix(open_parrot: Open) -> None:
    backend = await open_parrot()
    prompts = [f"<{number}>" for number in range(20)]
    streams = await backend.generate(prompts, GREEDY, request_id="r")
    texts = [done.text for done in await asyncio.gather(*(stream.collect() for stream in streams))]
    assert texts == [(prompt * 12)[:12] for prompt in prompts]
    assert [stream.request_id for stream in streams] == [f"r/{number}" for number in range(20)]


async def test_descriptions_are_the_workers_own(open_parrot: Open) -> None:
    backend = await open_parrot()
    assert backend.get_capability().backend_name == "parrot"
    assert backend.get_capability().max_batch_size == 64
    assert backend.get_kv_schema().page_size == 16
    assert "backend.split_prefill" in backend.capabilities
    assert (await backend.health()).state == "ready"
    assert "parrot-plugin 1.2.3" in backend.description


async def test_a_backend_without_kv_starts_and_says_so(open_parrot: Open) -> None:
    backend = await open_parrot(keeps_no_kv=True)
    assert backend.get_capability().kv_schema is None
    with pytest.raises(Unsupported, match="keeps no KV"):
        backend.get_kv_schema()


async def test_tokenizer_and_its_refusals_cross_the_boundary(open_parrot: Open) -> None:
    backend = await open_parrot()
    assert await backend.tokenizer.encode("hi") == [104, 105]
    assert await backend.tokenizer.decode([104, 105]) == "hi"
    chat = await backend.tokenizer.encode_chat([ChatMessage(role="user", content="x")])
    assert bytes(chat) == b"user: x\n"
    with pytest.raises(InvalidRequest, match="tool turns") as caught:
        await backend.tokenizer.encode_chat([ChatMessage(role="tool", content="x")])
    assert caught.value.param == "messages"


async def test_prefill_and_decode_give_what_generate_gives(open_parrot: Open) -> None:
    backend = await open_parrot()
    (whole,) = await backend.generate(["abc"], GREEDY)
    prefilled = await backend.prefill(["abc"], request_id="p", params=GREEDY)
    decoded = await backend.decode(prefilled.states[0], request_id="p")
    rest = await decoded.stream.collect()
    assert prefilled.sequences[0].first.text + rest.text == (await whole.collect()).text
    with pytest.raises(InvalidRequest, match="used"):
        await backend.decode(prefilled.states[0], request_id="p2")


async def test_a_released_state_frees_its_blocks(open_parrot: Open) -> None:
    backend = await open_parrot()
    prefilled = await backend.prefill(["abc"], request_id="p")
    assert (await backend.stats()).blocks_held == 1
    await backend.release(prefilled.states[0])
    assert (await backend.stats()).blocks_held == 0


async def test_errors_keep_their_type_and_fields(open_parrot: Open) -> None:
    backend = await open_parrot()
    with pytest.raises(InvalidRequest, match="4096") as invalid:
        await backend.generate(["x" * 5000], GREEDY)
    assert invalid.value.param == "prompt"
    with pytest.raises(CapacityExceeded):
        await backend.generate(["x"] * 65, GREEDY)
    with pytest.raises(Unsupported) as unsupported:
        await backend.generate(["x"], SamplingParams(min_p=0.5))
    assert unsupported.value.capability == "backend.min_p"


async def test_an_error_outside_the_family_arrives_as_its_root(open_parrot: Open) -> None:
    backend = await open_parrot(broken_generate=True)
    with pytest.raises(SageInferError, match="ZeroDivisionError: outside the family"):
        await backend.generate(["x"], GREEDY)
    assert (await backend.health()).state == "ready"


async def test_a_stream_that_breaks_ends_with_its_error(open_parrot: Open) -> None:
    backend = await open_parrot(break_stream_at=3)
    (stream,) = await backend.generate(["abcdef"], GREEDY)
    with pytest.raises(SageInferError, match="flew away"):
        await stream.collect()


async def test_logprobs_and_stop_reasons_survive(open_parrot: Open) -> None:
    backend = await open_parrot()
    (stream,) = await backend.generate(["ab."], SamplingParams(temperature=0, stop=(".",), logprobs=1))
    deltas = [delta async for delta in stream]
    assert deltas[0].logprobs is not None
    assert deltas[0].logprobs[0].top == ((97, -0.5),)
    assert (deltas[-1].finish_reason, deltas[-1].stop_reason) == ("stop_string", ".")


@pytest.mark.parametrize("how", ["stream", "request"])
async def test_cancel_ends_the_stream_and_frees_the_blocks(open_parrot: Open, how: str) -> None:
    backend = await open_parrot(step_s=0.002)
    (stream,) = await backend.generate(["abc"], FOREVER, request_id="long")
    await stream.__anext__()
    if how == "stream":
        stream.cancel()
    else:
        assert await backend.cancel("long")
    assert (await stream.collect()).finish_reason == "cancelled"
    assert (await backend.stats()).blocks_held == 0
    assert not await backend.cancel("long")


async def test_a_caller_that_gives_up_while_asking_leaves_nothing_running(open_parrot: Open) -> None:
    backend = await open_parrot(step_s=0.002)
    asking = asyncio.create_task(backend.generate(["abc"], FOREVER, request_id="left"))
    await asyncio.sleep(0)  # the call is sent, its answer cannot be here yet
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    async with asyncio.timeout(10):
        while (await backend.stats()).running:
            pass


async def test_an_unread_stream_does_not_block_the_others(open_parrot: Open) -> None:
    backend = await open_parrot()
    (unread,) = await backend.generate(["x" * 90], FOREVER)
    (read,) = await backend.generate(["abc"], GREEDY)
    assert (await read.collect()).finish_reason == "length"
    assert (await unread.collect()).usage.completion_tokens == 4000


async def test_kill_9_mid_stream_fails_everything_at_once_and_restart_works(open_parrot: Open) -> None:
    backend = await open_parrot(step_s=0.002, say="polly was here")
    streams = await backend.generate(["abc", "def"], FOREVER)
    await streams[0].__anext__()
    waiting = asyncio.create_task(backend.wait_down())
    assert backend.pid is not None
    os.kill(backend.pid, signal.SIGKILL)
    async with asyncio.timeout(10):
        for stream in streams:
            with pytest.raises(BackendUnavailable, match="killed by SIGKILL") as caught:
                await stream.collect()
    assert "polly was here" in str(caught.value)
    assert "SIGKILL" in await waiting
    health = await backend.health()
    assert health.state == "failed"
    assert "SIGKILL" in (health.reason or "")
    with pytest.raises(BackendUnavailable, match="SIGKILL"):
        await backend.generate(["abc"], GREEDY)
    await backend.restart()
    (stream,) = await backend.generate(["abc"], GREEDY)
    assert (await stream.collect()).finish_reason == "length"


async def test_a_state_from_before_a_restart_is_foreign(open_parrot: Open) -> None:
    backend = await open_parrot()
    prefilled = await backend.prefill(["abc"], request_id="p")
    await backend.restart()
    with pytest.raises(InvalidRequest, match="foreign"):
        await backend.decode(prefilled.states[0], request_id="p")


async def test_an_exiting_worker_reports_its_status(open_parrot: Open) -> None:
    backend = await open_parrot(kill_at=2)
    (stream,) = await backend.generate(["abcdef"], GREEDY)
    assert (await stream.__anext__()).text == "a"
    with pytest.raises(BackendUnavailable, match="exited with status 9"):
        await stream.collect()


async def test_start_failures_keep_their_type_and_leave_no_process(open_parrot: Open) -> None:
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    with pytest.raises(DeviceUnavailable, match="install parrot-runtime") as caught:
        await open_parrot(no_device=True)
    assert caught.value.reason == "missing"
    with pytest.raises(SageInferError, match="KeyError"):
        await open_parrot(broken_start=True)
    with pytest.raises(BackendUnavailable, match="exited with status 3"):
        await open_parrot(exit_at_start=3)
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before


@pytest.mark.parametrize("option", ["hang_at_start", "block_at_start"])
async def test_a_start_that_hangs_ends_by_its_deadline(open_parrot: Open, option: str) -> None:
    settings = WorkerSettings(start_timeout_s=3.0, terminate_timeout_s=1.0)
    with pytest.raises(
        DeadlineExceeded, match=r"not ready within 3 s; it was loading polly(.|\n)*still here"
    ):
        await open_parrot(settings, **{option: True}, say="still here")
    assert not psutil.Process().children(recursive=True)


async def test_close_is_idempotent_and_fails_what_is_pending(open_parrot: Open) -> None:
    backend = await open_parrot(step_s=0.002)
    (stream,) = await backend.generate(["abc"], FOREVER)
    await backend.close()
    await backend.close()
    with pytest.raises(BackendUnavailable, match="closed"):
        await stream.collect()
    assert (await backend.health()).state == "closed"
    with pytest.raises(BackendUnavailable, match="closed"):
        await backend.generate(["abc"], GREEDY)
    with pytest.raises(BackendUnavailable, match="closed"):
        await backend.start()
    with pytest.raises(BackendUnavailable, match="closed"):
        await backend.restart()


async def test_a_close_that_hangs_is_ended_by_force(open_parrot: Open) -> None:
    backend = await open_parrot(FAST_END, hang_close=True)
    pid = backend.pid
    assert pid is not None
    await backend.close()
    assert not psutil.pid_exists(pid)


async def test_nothing_is_left_after_many_lives(open_parrot: Open) -> None:
    first = await open_parrot()
    await first.close()
    process = psutil.Process()
    files, threads, tasks = process.num_fds(), process.num_threads(), len(asyncio.all_tasks())
    for _ in range(2):
        backend = await open_parrot(step_s=0.001)
        (stream,) = await backend.generate(["abc"], FOREVER)
        await stream.__anext__()
        await backend.close()
    assert (process.num_fds(), process.num_threads()) == (files, threads)
    assert len(asyncio.all_tasks()) == tasks
    assert not process.children(recursive=True)


async def test_health_of_a_hanging_worker_is_failed_by_its_deadline(open_parrot: Open) -> None:
    backend = await open_parrot(WorkerSettings(control_timeout_s=0.3), hang_health=True)
    health = await backend.health()
    assert health.state == "failed"
    assert "did not answer health within 0.3 s" in (health.reason or "")


async def test_a_flood_on_stderr_is_bounded_and_harmless(open_parrot: Open) -> None:
    backend = await open_parrot(flood_lines=3000)
    kept = backend.last_output().splitlines()
    assert len(kept) <= 40
    assert len(max(kept, key=len)) <= 2000
    (stream,) = await backend.generate(["abc"], GREEDY)
    assert (await stream.collect()).finish_reason == "length"


async def test_quantisation_blocks_until_done_and_updates_the_description(open_parrot: Open) -> None:
    profile = QuantizationProfile(weight_bits=8, activation_bits=16, kv_bits_prefill=16, kv_bits_decode=16)
    plain = await open_parrot()
    with pytest.raises(Unsupported):
        plain.load_quant_profile(profile)
    able = await open_parrot(quantises=True)
    assert able.get_capability().quant_profile_id is None
    able.load_quant_profile(profile)
    assert able.get_capability().quant_profile_id == "w8"
    able._ready_worker().process._popen.kill()
    with pytest.raises(BackendUnavailable):
        able.load_quant_profile(profile)


async def test_undeclared_kv_export_refuses(open_parrot: Open) -> None:
    backend = await open_parrot()
    state = (await backend.prefill(["abc"], request_id="p")).states[0]
    with pytest.raises(Unsupported, match="export"):
        await backend.export_kv(state, "file:///nowhere")
