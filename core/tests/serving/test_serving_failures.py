"""What the server does when clients leave, queues fill, engines die and bodies grow."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import pytest
from serving_kit import raw
from serving_kit.live_server import EMBEDDING, MODEL, LiveServer

from sage_infer.common.logs import build_logger
from sage_infer.control_plane import RequestStream
from sage_infer.control_plane.streams import Batch
from sage_infer.serving.sse import EventStream
from sage_infer_contracts.errors import BackendUnavailable, CapacityExceeded, SageInferError
from sage_infer_contracts.streams import TokenDelta

CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}
LONG = {**CHAT, "max_tokens": 300, "ignore_eos": True}


@pytest.fixture
def live() -> Iterator[LiveServer]:
    with LiveServer(backend={"max_batch_size": 2}, manager={"max_queued_requests": 2}) as server:
        yield server


def idle(live: LiveServer) -> bool:
    """Say whether nothing is under way and every block is free."""
    return not live.manager.status().requests and not (live.backend._running or live.backend._waiting)


def ask(live: LiveServer, body: dict[str, Any], path: str = "/v1/chat/completions") -> httpx.Response:
    return live.http.post(path, json=body)


def metric(live: LiveServer, name: str) -> float:
    lines = live.http.get("/metrics").text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"sage:{name}"))


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_frees_what_its_request_held(live: LiveServer, stream: bool) -> None:
    live.call(live.backend.hold)
    with raw.connect(live) as connection:
        connection.sendall(raw.post("/v1/chat/completions", {**LONG, "stream": stream}))
        live.until(lambda: bool(live.backend.accepted))
        live.call(lambda: live.backend.step(3))
        if stream:
            assert b"200 OK" in raw.read_until(connection, b"content")
        live.until(lambda: live.backend.steps == 3)
    live.until(lambda: idle(live))
    assert live.backend.cancels == live.backend.accepted
    assert live.backend.steps == 3  # it ended at once, not by running on


def test_a_client_that_leaves_while_queued_never_reaches_the_engine(live: LiveServer) -> None:
    live.call(live.backend.hold)
    with ThreadPoolExecutor(2) as threads:
        running = [threads.submit(ask, live, LONG) for _ in range(2)]
        live.until(lambda: len(live.backend.accepted) == 2)
        with raw.connect(live) as connection:
            connection.sendall(raw.post("/v1/chat/completions", LONG))
            live.until(lambda: live.manager.models()[0].queued == 1)
        live.until(lambda: live.manager.models()[0].queued == 0)
        live.call(live.backend.go)
        assert [future.result().status_code for future in running] == [200, 200]
    assert len(live.backend.accepted) == 2


def test_a_client_that_leaves_an_embedding_is_forgotten(live: LiveServer) -> None:
    live.call(live.embedding.gate.clear)
    with raw.connect(live) as connection:
        connection.sendall(raw.post("/v1/embeddings", {"model": EMBEDDING, "input": "a"}))
        live.until(lambda: live.embedding.busy == 1)
    live.call(live.embedding.gate.set)
    live.until(lambda: idle(live))
    assert ask(live, {"model": EMBEDDING, "input": "a"}, "/v1/embeddings").status_code == 200


def test_a_full_queue_answers_429_with_retry_after(live: LiveServer) -> None:
    live.call(live.backend.hold)
    with ThreadPoolExecutor(4) as threads:
        accepted = [threads.submit(ask, live, LONG) for _ in range(4)]
        live.until(lambda: live.manager.models()[0].queued == 2)
        refused = ask(live, CHAT)
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "1"
        assert refused.json()["error"]["code"] == "capacity_exceeded"
        assert metric(live, "num_requests_waiting") == 4  # two here, two in the engine, which takes no step
        assert metric(live, "num_requests_running") == 0
        live.call(live.backend.go)
        assert [future.result().status_code for future in accepted] == [200] * 4
    client = openai.OpenAI(base_url=f"{live.base_url}/v1", api_key="x", max_retries=0)
    assert client.chat.completions.create(**CHAT).choices  # type: ignore[call-overload]
    assert metric(live, 'request_errors_total{kind="capacity_exceeded"') == 1


def test_an_engine_whose_own_queue_is_full_gets_the_request_again_later(live: LiveServer) -> None:
    live.call(live.backend.hold)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(ask, live, LONG)
        live.until(lambda: len(live.backend.accepted) == 1)
        live.backend.fail_generate.append(CapacityExceeded("no room in the engine"))
        second = threads.submit(ask, live, CHAT)
        live.until(lambda: live.manager.models()[0].queued == 1)
        live.call(live.backend.go)
        assert (first.result().status_code, second.result().status_code) == (200, 200)
    live.backend.fail_generate.append(CapacityExceeded("no room in the engine"))
    assert ask(live, CHAT).status_code == 429  # nothing of ours runs that could make room


def test_a_dead_engine_ends_streams_with_an_error_and_says_so_in_health(live: LiveServer) -> None:
    live.call(live.backend.hold)
    with raw.connect(live) as connection, ThreadPoolExecutor(3) as threads:
        connection.sendall(raw.post("/v1/chat/completions", {**LONG, "stream": True}))
        live.until(lambda: len(live.backend.accepted) == 1)
        whole = threads.submit(ask, live, LONG)
        live.until(lambda: len(live.backend.accepted) == 2)
        queued = threads.submit(ask, live, LONG)
        live.until(lambda: live.manager.models()[0].queued == 1)
        live.call(live.backend.step)
        raw.read_until(connection, b"content")
        live.call(live.backend.crash)
        rest = raw.read_until(connection, b"0\r\n\r\n")
        assert whole.result().status_code == 503
        assert queued.result().status_code == 503
    events = [line for line in rest.decode().splitlines() if line.startswith("data: ")]
    assert json.loads(events[-1][6:])["error"]["code"] == "backend_unavailable"
    assert b"[DONE]" not in rest
    health = live.http.get("/health")
    assert health.status_code == 503
    instance = health.json()["models"][0]["instances"][0]
    assert (instance["state"], instance["reason"]) == ("failed", "killed by signal 9")
    assert live.http.get("/ready").status_code == 503
    refused = ask(live, CHAT)
    assert refused.status_code == 503
    assert "killed by signal 9" in refused.json()["error"]["message"]
    assert "retry-after" in refused.headers
    assert f'num_requests_running{{model_name="{MODEL}"}}' not in live.http.get("/metrics").text
    live.call(live.backend.start)  # the same object comes back, as a restarted worker's proxy does
    assert live.http.get("/health").status_code == 200
    live.call(live.backend.go)
    assert ask(live, CHAT).status_code == 200


def test_an_engine_that_breaks_its_contract_gives_a_500_and_goes_on(live: LiveServer) -> None:
    for error in (ValueError("a bug"), SageInferError("its own")):
        live.backend.fail_generate.append(error)
        answer = ask(live, CHAT)
        assert answer.status_code == 500
        assert answer.json()["error"]["type"] == "server_error"
    live.backend.fail_generate.append(BackendUnavailable("a hiccup"))
    assert ask(live, CHAT).status_code == 503
    live.until(lambda: live.manager.status().healthy)
    assert ask(live, CHAT).status_code == 200


def test_a_request_that_takes_too_long_is_a_504_and_is_stopped() -> None:
    with LiveServer(manager={"request_timeout_s": 0.2}) as live:
        live.call(live.backend.hold)
        answer = ask(live, LONG)
        assert answer.status_code == 504
        assert answer.json()["error"]["code"] == "deadline_exceeded"
        live.until(lambda: idle(live))
        live.call(live.embedding.gate.clear)
        assert ask(live, {"model": EMBEDDING, "input": "a"}, "/v1/embeddings").status_code == 504
        live.until(lambda: live.embedding.busy == 0)
        assert metric(live, 'request_errors_total{kind="deadline_exceeded"') == 2


def test_a_body_over_the_limit_is_a_413_by_header_and_while_reading() -> None:
    with LiveServer(settings={"max_body_bytes": 1000}) as live:
        for size in (1001, 100_000):
            answer = live.http.post("/v1/completions", content=b" " * size)
            assert answer.status_code == 413
            assert "1000 bytes" in answer.json()["error"]["message"]
        chunked = live.http.post(
            "/v1/completions",
            content=iter([b"{" + b" " * 600, b" " * 600]),
            headers={"content-type": "application/json"},
        )
        assert chunked.status_code == 413
        with raw.connect(live) as connection:
            connection.sendall(
                b"POST /v1/completions HTTP/1.1\r\nhost: t\r\ncontent-length: 9999999999999999\r\n\r\n"
            )
            assert b"413" in raw.read_all(connection).split(b"\r\n")[0]
        assert ask(live, {**CHAT, "max_tokens": 2}).status_code == 200


def test_a_body_that_does_not_come_is_a_408() -> None:
    with LiveServer(settings={"body_timeout_s": 0.1}) as live, raw.connect(live) as connection:
        whole = raw.post("/v1/completions", b"{}" + b" " * 100)
        connection.sendall(whole[:-50])
        assert b"408" in raw.read_all(connection).split(b"\r\n")[0]


def test_a_client_that_leaves_in_the_middle_of_its_body_harms_nobody(live: LiveServer) -> None:
    with raw.connect(live) as connection:
        connection.sendall(raw.post("/v1/completions", b"{}" + b" " * 100)[:-50])
    assert ask(live, CHAT).status_code == 200


@pytest.mark.parametrize(
    "data", [b"\x00\xff\x16\x03\x01garbage\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\r\n" * 50]
)
def test_bytes_that_are_no_http_do_not_disturb_the_server(live: LiveServer, data: bytes) -> None:
    with raw.connect(live) as connection:
        connection.sendall(data)
        connection.shutdown(1)
        raw.read_all(connection)
    assert ask(live, CHAT).status_code == 200


async def test_a_client_that_does_not_read_is_dropped() -> None:
    cancelled: list[bool] = []
    stream = RequestStream("r", sequences=1, prompt_tokens=1, on_cancel=lambda: cancelled.append(True))
    logged = io.StringIO()
    sent: list[str] = []

    class Text:
        async def batch(self, batch: Batch) -> str:
            return batch[0][1].text

        def end(self) -> str:
            return ""

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()  # the client stays connected
        return {}

    async def send(message: Any) -> None:
        sent.append(message["type"])
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()  # and its buffers are full

    answer = EventStream(
        stream, [(0, TokenDelta((1,), "x"))], Text(), write_timeout_s=0.02, log=build_logger(stream=logged)
    )
    await answer({"type": "http"}, receive, send)
    assert sent == ["http.response.start", "http.response.body"]
    assert cancelled == [True]
    assert "client_stopped_reading" in logged.getvalue()


def test_keys_are_asked_for_everywhere_but_health_and_ready() -> None:
    with LiveServer(settings={"api_keys": ("first", "sécond"), "metrics_need_key": True}) as live:
        for path in ("/health", "/ready"):
            assert live.http.get(path).status_code == 200
        for path in ("/v1/models", "/metrics", "/openapi.json", "/nothing"):
            assert live.http.get(path).status_code == 401
        refused = live.http.get("/v1/models", headers={"authorization": "Bearer wrong"})
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == "Bearer"
        assert refused.json()["error"]["code"] == "invalid_api_key"
        assert "first" not in refused.text
        for header in (b"Bearer first", b"bearer first", "Bearer sécond".encode()):
            answer = live.http.get("/v1/models", headers={b"authorization": header})
            assert answer.status_code == 200
        for header in (b"Basic first", b"first", b"Bearer", b"Bearer first2", b"Bearer \xff\xfe"):
            answer = live.http.get("/v1/models", headers={b"authorization": header})
            assert answer.status_code == 401
    with LiveServer(settings={"api_keys": ("k",)}) as live:
        assert live.http.get("/metrics").status_code == 200


def test_capabilities_decide_which_parameters_are_taken() -> None:
    refused = {
        "min_p": 0.1, "min_tokens": 1, "repetition_penalty": 1.1, "presence_penalty": 1, "frequency_penalty": 1,
        "logit_bias": {"1": 2}, "n": 2, "logprobs": True, "response_format": {"type": "json_object"},
    }  # fmt: skip
    able = frozenset(
        f"backend.{name}"
        for name in (
            "generate", "min_p", "min_tokens", "penalties", "logit_bias", "parallel_sampling", "logprobs",
            "structured_output",
        )
    )  # fmt: skip
    with LiveServer() as plain, LiveServer(backend={"capabilities": able}) as capable:
        for name, value in refused.items():
            answer = ask(plain, {**CHAT, name: value})
            assert answer.status_code == 400
            assert answer.json()["error"]["param"] == name
            assert answer.json()["error"]["code"] == "unsupported"
            assert ask(capable, {**CHAT, name: value}).status_code == 200
        schema = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}}
        assert ask(capable, {**CHAT, "response_format": schema}).status_code == 200
        assert ask(capable, {**CHAT, "min_tokens": 9, "max_tokens": 2}).json()["error"]["param"] in (
            None,
            "min_tokens",
        )
        assert ask(capable, {**CHAT, "n": 5}).json()["error"]["param"] == "n"


def test_several_choices_and_logprobs_come_whole_and_streamed() -> None:
    able = frozenset({"backend.generate", "backend.parallel_sampling", "backend.logprobs"})
    with LiveServer(backend={"capabilities": able}) as live:
        client = openai.OpenAI(base_url=f"{live.base_url}/v1", api_key="x", max_retries=0)
        fields: dict[str, Any] = {**CHAT, "n": 2, "logprobs": True, "top_logprobs": 2, "max_tokens": 4}
        whole = client.chat.completions.create(**fields)
        assert [choice.index for choice in whole.choices] == [0, 1]
        content = whole.choices[1].logprobs.content  # type: ignore[union-attr]
        assert [entry.token for entry in content or []] == ["G", "r", "\ufffd", "\ufffd"]
        assert [entry.bytes for entry in content or []] == [[71], [114], None, None]
        assert len((content or [])[0].top_logprobs) == 2
        assert whole.usage is not None
        assert whole.usage.completion_tokens == 8
        chunks = list(client.chat.completions.create(**fields, stream=True))
        streamed = [
            entry.token
            for chunk in chunks
            if chunk.choices[0].index == 1 and chunk.choices[0].logprobs
            for entry in chunk.choices[0].logprobs.content or []
        ]
        assert streamed == ["G", "r", "\ufffd", "\ufffd"]
        legacy = client.completions.create(model=MODEL, prompt="a", max_tokens=3, logprobs=1, n=2)
        assert legacy.choices[0].logprobs is not None
        assert legacy.choices[0].logprobs.tokens == ["G", "r", "\ufffd"]
        assert legacy.choices[0].logprobs.text_offset == [0, 1, 2]
        pieces = list(
            client.completions.create(model=MODEL, prompt="a", max_tokens=2, logprobs=0, stream=True)
        )
        offsets = [
            o for p in pieces if p.choices[0].logprobs for o in p.choices[0].logprobs.text_offset or []
        ]
        assert offsets == [0, 1]


def test_reused_prompt_tokens_are_shown_as_cached(live: LiveServer) -> None:
    body = {"model": MODEL, "prompt": "p" * 40, "max_tokens": 2}
    usages = [ask(live, body, "/v1/completions").json()["usage"] for _ in range(2)]
    assert [usage["prompt_tokens_details"]["cached_tokens"] for usage in usages] == [0, 32]
    assert metric(live, "prompt_tokens_reused_total") == 32
    assert metric(live, "prompt_tokens_computed_total") == 48
    assert metric(live, "prompt_tokens_total") == 80


def test_a_mixed_storm_ends_every_request_and_returns_every_block() -> None:
    with LiveServer(backend={"blocks": 40}, manager={"max_queued_requests": 30}) as live:
        before = live.call(live.backend.stats)

        def one(number: int) -> int:
            kind = number % 6
            if kind == 0:
                with raw.connect(live) as connection:
                    connection.sendall(raw.post("/v1/chat/completions", {**LONG, "stream": True}))
                    raw.read_until(connection, b"content" if number % 12 else b"HTTP")
                return 0
            if kind == 1:
                return ask(live, {**CHAT, "temperature": 9}).status_code
            if kind == 2:
                return ask(live, {"model": EMBEDDING, "input": "t"}, "/v1/embeddings").status_code
            if kind == 3:
                return ask(live, {"model": MODEL, "prompt": ["a", "b"]}, "/v1/completions").status_code
            return ask(live, {**LONG, "max_tokens": 40, "stream": kind == 4}).status_code

        with ThreadPoolExecutor(16) as threads:
            codes = list(threads.map(one, range(120)))
        assert set(codes) <= {0, 200, 400, 429}
        assert codes.count(200) > 10
        live.until(lambda: idle(live))
        after = live.call(live.backend.stats)
        assert after.blocks_free == before.blocks_free
        assert live.manager.models()[0].instances[0].active_requests == 0
        live.until(lambda: not live.manager._llms[MODEL]._running)
