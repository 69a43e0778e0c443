"""The control plane by itself, on the loop of the test: order, bounds, cancellation, deadlines and failures."""

from __future__ import annotations

import asyncio
import gc
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from serving_kit.scripted_backend import SCRIPT, ScriptedBackend
from serving_kit.scripted_embedding import ScriptedEmbedding, vector_of

from sage_infer.common.logs import build_logger
from sage_infer.common.telemetry import Telemetry
from sage_infer.control_plane import (
    ContextLengthExceeded,
    ControlPlaneManager,
    Draining,
    EmbedRequest,
    GenerateRequest,
    ModelNotFound,
    RequestStatus,
    RequestStream,
    generation_job,
    health,
)
from sage_infer_contracts.chat import ChatMessage
from sage_infer_contracts.errors import (
    BackendUnavailable,
    CapacityExceeded,
    DeadlineExceeded,
    InvalidRequest,
    SageInferError,
    Unsupported,
)
from sage_infer_contracts.sampling import SamplingParams

DEADLINE_S = 20.0


def request(prompt: str = "hi", **fields: Any) -> GenerateRequest:
    params = SamplingParams(**{"max_tokens": 5, **fields.pop("params", {})})
    return GenerateRequest(model_id="m", prompts=fields.pop("prompts", [prompt]), params=params, **fields)


async def text_of(stream: RequestStream) -> str:
    text = ""
    async with asyncio.timeout(DEADLINE_S):
        while batch := await stream.next_batch():
            text += "".join(delta.text for _, delta in batch)
    return text


async def finish_of(stream: RequestStream) -> list[str]:
    finishes = []
    async with asyncio.timeout(DEADLINE_S):
        while batch := await stream.next_batch():
            finishes += [delta.finish_reason for _, delta in batch if delta.finish_reason]
    return finishes


async def until(condition: Any) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110  any state of the manager, not only events
            await asyncio.sleep(0)


class Rig:
    """A manager with one scripted engine that runs one sequence at a time."""

    def __init__(self, **manager: Any) -> None:
        self.backend = ScriptedBackend(max_batch_size=1)
        self.embedding = ScriptedEmbedding(max_batch_size=2)
        self.manager = ControlPlaneManager(**{"max_queued_requests": 2, **manager})

    async def __aenter__(self) -> Rig:
        await self.backend.start()
        await self.embedding.start()
        await self.manager.register_backend("m", self.backend, instance_id="one")
        await self.manager.register_embedding("e", self.embedding)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.backend.go()
        await self.manager.close()
        await self.backend.close()
        assert not self.manager.status().requests
        assert all(i.active_requests == 0 for m in self.manager.models() for i in m.instances)
        assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Rig() as made:
        yield made


async def test_a_request_streams_the_whole_output_with_usage(rig: Rig) -> None:
    stream = await rig.manager.submit(request(params={"max_tokens": 100}))
    assert await text_of(stream) == SCRIPT
    assert stream.ended
    chat = GenerateRequest(
        model_id="m", messages=[ChatMessage(role="user", content="x")], params=SamplingParams(max_tokens=1)
    )
    assert await text_of(await rig.manager.submit(chat)) == "G"


async def test_requests_leave_the_queue_in_the_order_they_came(rig: Rig) -> None:
    rig.backend.hold()
    streams = [await rig.manager.submit(request(request_id=name)) for name in "abc"]
    status = rig.manager.status()
    assert [(r.request_id, r.status) for r in status.requests] == [
        ("a", RequestStatus.RUNNING),
        ("b", RequestStatus.QUEUED),
        ("c", RequestStatus.QUEUED),
    ]
    with pytest.raises(CapacityExceeded, match="full"):
        await rig.manager.submit(request())
    rig.backend.go()
    await asyncio.gather(*map(text_of, streams))
    assert rig.backend.accepted == ["a", "b", "c"]


async def test_several_prompts_are_admitted_together_or_not_at_all(rig: Rig) -> None:
    rig.backend.hold()
    with pytest.raises(CapacityExceeded):
        await rig.manager.submit(request(prompts=["a", "b", "c", "d"]))
    assert not rig.manager.status().requests
    stream = await rig.manager.submit(request(prompts=["a", [98], "c"]))
    assert (stream.sequences, stream.prompt_tokens) == (3, 3)
    rig.backend.go()
    assert await finish_of(stream) == ["length"] * 3


async def test_cancelling_frees_a_running_and_a_queued_request(rig: Rig) -> None:
    rig.backend.hold()
    running = await rig.manager.submit(request(request_id="r"))
    queued = await rig.manager.submit(request(request_id="q"))
    rig.backend.step()
    assert (await running.next_batch())[0][1].text == "G"
    assert rig.manager.cancel("q")
    assert await finish_of(queued) == ["cancelled"]
    running.cancel()
    running.cancel()
    assert await finish_of(running) == ["cancelled"]
    await until(lambda: not rig.manager.status().requests)
    assert not rig.manager.cancel("r")
    assert (await rig.backend.stats()).blocks_held == 0
    assert rig.backend.accepted == ["r"]


async def test_cancelling_before_the_engine_has_accepted_still_reaches_it(rig: Rig) -> None:
    rig.backend.hold()
    stream = await rig.manager.submit(request(request_id="r"))
    stream.cancel()  # the job's task has not run yet
    assert await finish_of(stream) == ["cancelled"]
    await until(lambda: not rig.manager.status().requests)
    assert (await rig.backend.stats()).waiting == 0


async def test_a_deadline_ends_a_request_and_frees_its_slot(rig: Rig) -> None:
    rig.backend.hold()
    running = await rig.manager.submit(request(timeout_s=0.02))
    queued = await rig.manager.submit(request(timeout_s=0.02))
    for stream in (running, queued):
        with pytest.raises(DeadlineExceeded, match=r"0\.02 s"):
            await text_of(stream)
    await until(lambda: not rig.manager.status().requests)
    assert (await rig.backend.stats()).waiting == 0


async def test_refusals_name_what_is_wrong(rig: Rig) -> None:
    with pytest.raises(ModelNotFound, match="available: m"):
        await rig.manager.submit(GenerateRequest(model_id="x", prompts=["a"], params=SamplingParams()))
    with pytest.raises(ModelNotFound, match="available: e"):
        await rig.manager.embed(EmbedRequest(model_id="m", texts=["a"]))
    with pytest.raises(Unsupported, match="min_p"):
        await rig.manager.submit(request(params={"min_p": 0.1}))
    with pytest.raises(ContextLengthExceeded, match="512"):
        await rig.manager.submit(request("x" * 512))
    with pytest.raises(ContextLengthExceeded, match="at most 12") as too_long:
        await rig.manager.submit(request("x" * 500, params={"max_tokens": 13}))
    assert too_long.value.param == "max_tokens"
    with pytest.raises(InvalidRequest, match="no tokens"):
        await rig.manager.submit(request(""))
    with pytest.raises(InvalidRequest):
        GenerateRequest(model_id="m", params=SamplingParams())
    with pytest.raises(InvalidRequest, match="messages"):
        GenerateRequest(model_id="m", params=SamplingParams(), messages=[])
    rig.backend.hold()
    await rig.manager.submit(request(request_id="same"))
    with pytest.raises(InvalidRequest, match="same"):
        await rig.manager.submit(request(request_id="same"))
    # None of the refused requests kept a place in the queue.
    await rig.manager.submit(request())
    await rig.manager.submit(request())


async def test_a_tokenizer_that_fails_gives_an_error_of_the_family(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: str) -> list[int]:
        raise KeyError("a bug")

    monkeypatch.setattr(rig.backend.tokenizer, "encode", broken)
    with pytest.raises(SageInferError, match="KeyError"):
        await rig.manager.submit(request())


async def test_embedding_goes_through_the_queue(rig: Rig) -> None:
    result = await rig.manager.embed(EmbedRequest(model_id="e", texts=["a", "bc", "def"]))
    assert result.vectors == [vector_of(text) for text in ("a", "bc", "def")]
    assert result.prompt_tokens == 6
    rig.embedding.gate.clear()
    first = asyncio.ensure_future(rig.manager.embed(EmbedRequest(model_id="e", texts=["a", "b"])))
    second = asyncio.ensure_future(rig.manager.embed(EmbedRequest(model_id="e", texts=["c"])))
    await until(lambda: rig.manager.models()[1].queued == 1)
    second.cancel()
    await until(lambda: rig.manager.models()[1].queued == 0)
    first.cancel()
    rig.embedding.gate.set()
    await until(lambda: not rig.manager.status().requests)
    assert (await rig.manager.embed(EmbedRequest(model_id="e", texts=[]))).vectors == []
    with pytest.raises(InvalidRequest, match="maximum"):
        await rig.manager.embed(EmbedRequest(model_id="e", texts=["x" * 300]))


async def test_a_dead_backend_fails_its_queue_and_can_be_replaced(rig: Rig) -> None:
    rig.backend.hold()
    running = await rig.manager.submit(request())
    queued = await rig.manager.submit(request())
    await asyncio.sleep(0)
    rig.backend.crash()
    with pytest.raises(BackendUnavailable, match="died"):
        await text_of(running)
    with pytest.raises(BackendUnavailable, match="signal 9"):
        await text_of(queued)
    with pytest.raises(BackendUnavailable, match="no healthy instance"):
        await rig.manager.submit(request())
    assert not (await rig.manager.check()).healthy
    fresh = ScriptedBackend()
    await fresh.start()
    await rig.manager.replace_backend("m", "one", fresh)
    assert rig.manager.status().healthy
    assert await text_of(await rig.manager.submit(request(params={"max_tokens": 3}))) == "Gr�"
    await fresh.close()


async def test_a_backend_that_is_unwell_for_a_moment_goes_on(rig: Rig) -> None:
    rig.backend.fail_generate.append(BackendUnavailable("a hiccup"))
    with pytest.raises(BackendUnavailable, match="hiccup"):
        await text_of(await rig.manager.submit(request()))
    await until(lambda: rig.manager.status().healthy)
    assert await text_of(await rig.manager.submit(request(params={"max_tokens": 1})))


async def test_a_silent_backend_is_suspected_and_then_given_up(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "HEALTH_DEADLINE_S", 0.01)
    rig.backend.mute_health = True
    assert (await rig.manager.check()).models[0].instances[0].state == "suspect"
    instance = (await rig.manager.check()).models[0].instances[0]
    assert (instance.state, instance.reason) == ("failed", "gave no answer within 0.01 s")
    rig.backend.mute_health = False
    assert (await rig.manager.check()).healthy


async def test_a_backend_that_does_not_stop_a_cancelled_request_is_suspected(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation_job, "STOP_DEADLINE_S", 0.02)
    rig.backend.hold()
    rig.backend.ignore_cancel = True
    stream = await rig.manager.submit(request())
    await asyncio.sleep(0)
    stream.cancel()
    with pytest.raises(BackendUnavailable, match="did not end"):
        await text_of(stream)
    await until(lambda: not rig.manager.status().requests)


async def test_a_backend_that_does_not_accept_in_time_is_an_error(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object, **__: object) -> list[Any]:
        await asyncio.Event().wait()
        return []

    monkeypatch.setattr(generation_job, "START_DEADLINE_S", 0.02)
    monkeypatch.setattr(rig.backend, "generate", never)
    with pytest.raises(BackendUnavailable, match="did not accept"):
        await text_of(await rig.manager.submit(request()))


@pytest.mark.parametrize("streams", [0, 2])
async def test_a_backend_that_returns_the_wrong_number_of_streams_is_an_error(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, streams: int
) -> None:
    async def wrong(*_: object, **__: object) -> list[Any]:
        return [object()] * streams

    monkeypatch.setattr(rig.backend, "generate", wrong)
    with pytest.raises(BackendUnavailable, match="streams"):
        await text_of(await rig.manager.submit(request()))


async def test_one_failing_prompt_ends_the_whole_request(rig: Rig) -> None:
    rig.backend.hold()
    rig.backend.fail_generate.append(SageInferError("first"))
    stream = await rig.manager.submit(request(prompts=["a", "b", "c"]))
    with pytest.raises(SageInferError, match="first"):
        await text_of(stream)
    await until(lambda: not rig.manager.status().requests)


async def test_work_goes_to_the_instance_with_the_least_of_it(rig: Rig) -> None:
    second = ScriptedBackend(max_batch_size=2)
    await second.start()
    name = await rig.manager.register_backend("m", second)
    rig.backend.hold()
    second.hold()
    streams = [await rig.manager.submit(request()) for _ in range(3)]
    await asyncio.sleep(0)
    assert (len(rig.backend.accepted), len(second.accepted)) == (1, 2)
    await rig.manager.unregister("m", instance_id=name)
    rig.backend.go()
    second.go()
    await asyncio.gather(*map(text_of, streams))
    with pytest.raises(InvalidRequest):
        await rig.manager.unregister("m", instance_id=name)
    await second.close()


async def test_unregistering_a_model_fails_what_is_queued_and_forgets_its_gauges(rig: Rig) -> None:
    rig.backend.hold()
    running = await rig.manager.submit(request())
    queued = await rig.manager.submit(request())
    assert b'num_requests_waiting{model_name="m"}' in await rig.manager.metrics()
    await rig.manager.unregister("m")
    with pytest.raises(BackendUnavailable, match="removed"):
        await text_of(queued)
    rig.backend.go()
    assert await finish_of(running) == ["length"]
    assert b'num_requests_waiting{model_name="m"}' not in await rig.manager.metrics()
    with pytest.raises(ModelNotFound):
        await rig.manager.unregister("m")


async def test_schedulers_find_instances_by_what_they_can_do(rig: Rig) -> None:
    registry = rig.manager.instances
    assert [instance.model_id for instance in registry.instances()] == ["m", "e"]
    assert registry.model_ids() == ["e", "m"]
    await rig.manager.unregister("m")
    assert [instance.model_id for instance in registry.instances()] == ["e"]


async def test_an_instance_name_belongs_to_one_model(rig: Rig) -> None:
    with pytest.raises(InvalidRequest, match="one"):
        await rig.manager.register_backend("other", rig.backend, instance_id="one")
    assert [model.model_id for model in rig.manager.models()] == ["m", "e"]


async def test_names_are_used_once(rig: Rig) -> None:
    with pytest.raises(InvalidRequest, match="already"):
        await rig.manager.register_backend("m", rig.backend, instance_id="one")
    with pytest.raises(InvalidRequest, match="another kind"):
        await rig.manager.register_backend("e", rig.backend)
    with pytest.raises(InvalidRequest, match="has no instance"):
        await rig.manager.replace_backend("m", "two", rig.backend)


async def test_draining_lets_running_requests_finish_and_refuses_new_ones(rig: Rig) -> None:
    rig.backend.hold()
    stream = await rig.manager.submit(request())
    drain = asyncio.ensure_future(rig.manager.drain(DEADLINE_S))
    await asyncio.sleep(0)
    assert rig.manager.draining
    with pytest.raises(Draining):
        await rig.manager.submit(request())
    with pytest.raises(Draining):
        await rig.manager.embed(EmbedRequest(model_id="e", texts=["a"]))
    rig.backend.go()
    assert await drain
    assert await finish_of(stream) == ["length"]


async def test_a_drain_that_runs_out_of_time_cancels(rig: Rig) -> None:
    rig.backend.hold()
    streams = [await rig.manager.submit(request()) for _ in range(2)]
    assert not await rig.manager.drain(0.01)
    assert [await finish_of(stream) for stream in streams] == [["cancelled"], ["cancelled"]]


async def test_abort_fails_everything_at_once(rig: Rig) -> None:
    rig.backend.hold()
    stream = await rig.manager.submit(request())
    rig.manager.abort()
    with pytest.raises(BackendUnavailable, match="stopped"):
        await text_of(stream)


async def test_close_fails_the_queue_and_stops_what_runs(rig: Rig) -> None:
    rig.backend.hold()
    running = await rig.manager.submit(request())
    queued = await rig.manager.submit(request())
    await asyncio.sleep(0)
    await rig.manager.close()
    await rig.manager.close()
    assert await finish_of(running) == ["cancelled"]
    with pytest.raises(BackendUnavailable, match="closed"):
        await text_of(queued)
    with pytest.raises(Draining):
        await rig.manager.register_backend("n", rig.backend)


async def test_closing_does_not_wait_for_ever_for_a_stuck_backend(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sage_infer.control_plane.manager.STOP_DEADLINE_S", 0.02)
    rig.backend.hold()
    rig.backend.ignore_cancel = True
    stream = await rig.manager.submit(request())
    await asyncio.sleep(0)
    await rig.manager.close()
    with pytest.raises(BackendUnavailable, match="closed while"):
        await text_of(stream)


async def test_the_monitor_notices_a_death_that_no_request_met() -> None:
    async with Rig(health_interval_s=0.01) as rig:
        await until(lambda: rig.manager.models()[0].instances[0].kv_cache_usage_gb == 0.0)
        rig.backend.crash()
        await until(lambda: rig.manager.models()[0].instances[0].state == "failed")
        await rig.backend.start()
        await until(lambda: rig.manager.status().healthy)


async def test_why_figures_are_missing_is_logged_when_it_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    log = build_logger(log_format="json", stream=written)
    async with Rig(telemetry=Telemetry(log=log)) as rig:

        async def scrape_twice(error: Exception | None) -> list[dict[str, Any]]:
            """Return what was logged about figures while stats() raised ``error``."""

            async def broken() -> None:
                raise error or AssertionError

            written.truncate(written.seek(0))
            with monkeypatch.context() as patch:
                if error is not None:
                    patch.setattr(rig.backend, "stats", broken)
                shown = [await rig.manager.metrics() for _ in range(2)]
            assert all((b"num_requests_running{" in text) == (error is None) for text in shown)
            events = [json.loads(line) for line in written.getvalue().splitlines()]
            return [event for event in events if event["event"] == "instance_stats_missing"]

        assert await scrape_twice(None) == []
        (bug,) = await scrape_twice(ZeroDivisionError("no steps"))
        assert (bug["level"], bug["model"], bug["instance"]) == ("warning", "m", "one")
        assert bug["reason"] == "ZeroDivisionError('no steps')"
        assert "in broken" in bug["exception"]
        assert await scrape_twice(ZeroDivisionError("still no steps")) == []
        (refusal,) = await scrape_twice(BackendUnavailable("gone"))
        assert refusal["reason"] == "BackendUnavailable('gone')"
        assert "exception" not in refusal
        assert await scrape_twice(None) == []
        assert len(await scrape_twice(BackendUnavailable("gone"))) == 1


async def test_an_engine_may_have_the_next_request_at_hand() -> None:
    async with Rig(dispatch_ahead=1) as rig:
        rig.backend.hold()
        streams = [await rig.manager.submit(request()) for _ in range(3)]
        await asyncio.sleep(0)
        assert (await rig.backend.stats()).waiting == 2
        assert rig.manager.models()[0].queued == 1
        rig.backend.go()
        await asyncio.gather(*map(text_of, streams))


async def test_slack_is_known_only_when_a_latency_was_asked_for(rig: Rig) -> None:
    rig.backend.hold()
    await rig.manager.submit(request(slo_ms=1000.0))
    await rig.manager.submit(request())
    wished, plain = rig.manager.status().requests
    assert wished.slo_slack_ms(wished.arrival_s + 0.25) == pytest.approx(750.0)
    assert plain.slo_slack_ms(plain.arrival_s) is None
    assert plain.kv_cache_size_tokens == 2


async def test_abandoned_errors_do_not_warn(rig: Rig) -> None:
    rig.backend.fail_generate.append(SageInferError("nobody reads this"))
    await rig.manager.submit(request())
    await until(lambda: not rig.manager.status().requests)
    rig.embedding.gate.clear()
    with pytest.raises(DeadlineExceeded):
        await rig.manager.embed(EmbedRequest(model_id="e", texts=["a"], timeout_s=0.01))
    rig.embedding.gate.set()
    gc.collect()
