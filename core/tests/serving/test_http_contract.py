"""What every server of ours owes its clients, whatever engine it has; see ``serving_kit.under_test``."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import httpx
import openai
import pytest
from serving_kit.under_test import CONTEXT_LIMIT_PROBE, ServerUnderTest

HELLO = [{"role": "user", "content": "Say hello."}]


def error_of(response: httpx.Response, status: int) -> dict[str, Any]:
    """Check that an error has OpenAI's shape, and return it."""
    assert response.status_code == status, response.text
    error: dict[str, Any] = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert isinstance(error["message"], str)
    assert error["message"]
    return error


def chat(http: httpx.Client, server: ServerUnderTest, **fields: Any) -> httpx.Response:
    return http.post(
        "/v1/chat/completions",
        json={"model": server.model, "messages": HELLO, "max_tokens": 4, **fields},
    )


def completion(http: httpx.Client, server: ServerUnderTest, **fields: Any) -> httpx.Response:
    return http.post(
        "/v1/completions", json={"model": server.model, "prompt": "One two", "max_tokens": 4, **fields}
    )


def test_chat_answers_with_text_finish_reason_and_usage(
    client: openai.OpenAI, server: ServerUnderTest
) -> None:
    answer = client.chat.completions.create(
        model=server.model, messages=HELLO, max_tokens=8, temperature=0, extra_body={"ignore_eos": True}
    )
    assert answer.object == "chat.completion"
    assert answer.model == server.model
    (choice,) = answer.choices
    assert choice.finish_reason == "length"
    assert choice.message.role == "assistant"
    assert choice.message.content
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 8
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 8
    assert answer.usage.prompt_tokens_details is not None


def test_streamed_chat_equals_the_whole_answer(client: openai.OpenAI, server: ServerUnderTest) -> None:
    ask: dict[str, Any] = {"model": server.model, "messages": HELLO, "max_tokens": 12, "temperature": 0}
    whole = client.chat.completions.create(**ask)
    chunks = list(client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}))
    assert {chunk.id for chunk in chunks} == {chunks[0].id}
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    finishes = [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason]
    assert finishes == [whole.choices[0].finish_reason]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert whole.usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_streamed_completion_equals_the_whole_answer(client: openai.OpenAI, server: ServerUnderTest) -> None:
    ask: dict[str, Any] = {"model": server.model, "prompt": "One two", "max_tokens": 12, "temperature": 0}
    whole = client.completions.create(**ask)
    chunks = list(client.completions.create(**ask, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason


def test_several_prompts_keep_their_order(client: openai.OpenAI, server: ServerUnderTest) -> None:
    prompts = ["One", "Two three", "Four five six"]
    together = client.completions.create(model=server.model, prompt=prompts, max_tokens=6, temperature=0)
    assert [choice.index for choice in together.choices] == [0, 1, 2]
    alone = [
        client.completions.create(model=server.model, prompt=prompt, max_tokens=6, temperature=0)
        for prompt in prompts
    ]
    assert [c.text for c in together.choices] == [answer.choices[0].text for answer in alone]
    assert together.usage is not None
    assert together.usage.prompt_tokens == sum(a.usage.prompt_tokens for a in alone if a.usage)


def test_token_ids_are_prompts_too(client: openai.OpenAI, server: ServerUnderTest) -> None:
    one = client.completions.create(model=server.model, prompt=[1, 2, 3], max_tokens=3, temperature=0)
    two = client.completions.create(model=server.model, prompt=[[1, 2, 3], [4]], max_tokens=3, temperature=0)
    assert one.usage is not None
    assert one.usage.prompt_tokens == 3
    assert two.choices[0].text == one.choices[0].text


def test_completions_default_to_sixteen_tokens(client: openai.OpenAI, server: ServerUnderTest) -> None:
    answer = client.completions.create(model=server.model, prompt="a", extra_body={"ignore_eos": True})
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 16
    assert answer.choices[0].finish_reason == "length"


def test_a_stop_string_ends_the_text_before_it(client: openai.OpenAI, server: ServerUnderTest) -> None:
    ask: dict[str, Any] = {"model": server.model, "prompt": "One two", "max_tokens": 12, "temperature": 0}
    text = client.completions.create(**ask).choices[0].text
    stop = text[2:4]
    stopped = client.completions.create(**ask, stop=stop).choices[0]
    assert stopped.finish_reason == "stop"
    assert stopped.text == text[: text.index(stop)]


def test_both_names_of_the_token_limit_work(http: httpx.Client, server: ServerUnderTest) -> None:
    body = {"model": server.model, "messages": HELLO, "max_completion_tokens": 2, "ignore_eos": True}
    answer = http.post("/v1/chat/completions", json=body).json()
    assert answer["usage"]["completion_tokens"] == 2
    assert error_of(chat(http, server, max_completion_tokens=3), 400)["param"] == "max_completion_tokens"


def test_content_may_be_a_list_of_text_parts(http: httpx.Client, server: ServerUnderTest) -> None:
    parts = [{"type": "text", "text": "Say "}, {"type": "text", "text": "hello."}]
    whole = chat(http, server, temperature=0).json()
    answer = chat(http, server, temperature=0, messages=[{"role": "user", "content": parts}])
    assert answer.json()["choices"][0]["message"]["content"] == whole["choices"][0]["message"]["content"]


def test_a_client_may_send_back_an_answer_it_got(client: openai.OpenAI, server: ServerUnderTest) -> None:
    first = client.chat.completions.create(model=server.model, messages=HELLO, max_tokens=4)
    turn: Any = first.choices[0].message.model_dump()
    again = client.chat.completions.create(model=server.model, messages=[*HELLO, turn, *HELLO], max_tokens=4)
    assert again.choices[0].message.content is not None


def test_harmless_fields_are_accepted(http: httpx.Client, server: ServerUnderTest) -> None:
    answer = chat(
        http, server, user="u", store=False, metadata={"a": "b"}, tools=[], tool_choice="none", service_tier="auto",
        response_format={"type": "text"}, parallel_tool_calls=True, n=1, logprobs=False, top_k=-1, logit_bias={},
    )  # fmt: skip
    assert answer.status_code == 200, answer.text


def test_embeddings_come_in_both_encodings(
    client: openai.OpenAI, http: httpx.Client, server: ServerUnderTest
) -> None:
    texts = ["first", "second"]
    floats = client.embeddings.create(model=server.embedding_model, input=texts, encoding_format="float")
    default = client.embeddings.create(model=server.embedding_model, input=texts)
    raw = http.post(
        "/v1/embeddings",
        json={"model": server.embedding_model, "input": texts[1], "encoding_format": "base64"},
    ).json()
    assert [item.index for item in floats.data] == [0, 1]
    assert floats.usage.prompt_tokens > 0
    for one, other in zip(floats.data, default.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding, abs=1e-5)
    data = base64.b64decode(raw["data"][0]["embedding"])
    assert list(struct.unpack(f"<{len(data) // 4}f", data)) == pytest.approx(
        floats.data[1].embedding, abs=1e-5
    )


def test_models_are_listed_and_shown(client: openai.OpenAI, server: ServerUnderTest) -> None:
    names = {model.id for model in client.models.list()}
    assert {server.model, server.embedding_model} <= names
    assert client.models.retrieve(server.model).id == server.model


def test_health_ready_and_metrics_answer(http: httpx.Client, server: ServerUnderTest) -> None:
    chat(http, server)
    assert http.get("/health").json()["status"] == "ok"
    assert http.get("/ready").json() == {"status": "ready"}
    metrics = http.get("/metrics").text
    for name in (
        "time_to_first_token_seconds_count", "inter_token_latency_seconds_count", "e2e_request_latency_seconds_sum",
        "request_time_per_output_token_seconds_count", "request_queue_time_seconds_count", "prompt_tokens_total",
        "num_requests_running", "num_requests_waiting", "kv_cache_usage_perc", "generation_tokens_total",
        "prompt_tokens_computed_total", "prompt_tokens_reused_total",
    ):  # fmt: skip
        assert f'sage:{name}{{model_name="{server.model}"}}' in metrics


def test_a_request_id_is_echoed_when_sane_and_replaced_when_not(http: httpx.Client) -> None:
    assert (
        http.get("/ready", headers={"x-request-id": "abc.1-2_3:4"}).headers["x-request-id"] == "abc.1-2_3:4"
    )
    assert http.get("/ready", headers={"x-request-id": "a b"}).headers["x-request-id"].startswith("req-")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"temperature": 3}, "temperature"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": "0"}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"top_p": 1.5}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"n": 0}, "n"),
        ({"n": 129}, "n"),
        ({"seed": 2**63}, "seed"),
        ({"seed": 10**30}, "seed"),
        ({"top_k": -2}, "top_k"),
        ({"stop": ""}, "stop"),
        ({"stop": ["x"] * 17}, "stop"),
        ({"stop": 5}, "stop"),
        ({"stop_token_ids": [-1]}, "stop_token_ids.0"),
        ({"presence_penalty": 2.5}, "presence_penalty"),
        ({"logit_bias": {"x": 1}}, "logit_bias"),
        ({"logit_bias": {"1": 101}}, "logit_bias.1"),
        ({"stream": "yes"}, "stream"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"store": True}, "store"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"modalities": ["audio"]}, "modalities"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": None}]}, "messages.0.content"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "messages.0.content.0.type",
        ),
        ({"model": 5}, "model"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
    ],
)  # fmt: skip
def test_a_bad_chat_field_is_named(
    http: httpx.Client, server: ServerUnderTest, fields: dict[str, Any], param: str
) -> None:
    error = error_of(chat(http, server, **fields), 400)
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": []}, "prompt"),
        ({"prompt": 5}, "prompt"),
        ({"prompt": [[]]}, "prompt"),
        ({"prompt": ["a", 5]}, "prompt"),
        ({"prompt": [-1]}, "prompt"),
        ({"prompt": [2**31 - 1]}, "prompt"),
        ({"prompt": [2**40]}, "prompt"),
        ({"echo": True}, "echo"),
        ({"best_of": 3}, "best_of"),
        ({"suffix": "end"}, "suffix"),
        ({"logprobs": 6}, "logprobs"),
        ({"max_tokens": -1}, "max_tokens"),
    ],
)
def test_a_bad_completion_field_is_named(
    http: httpx.Client, server: ServerUnderTest, fields: dict[str, Any], param: str
) -> None:
    assert error_of(completion(http, server, **fields), 400)["param"] == param


def test_limits_are_in_the_message(http: httpx.Client, server: ServerUnderTest) -> None:
    assert "2" in error_of(chat(http, server, temperature=2.5), 400)["message"]
    assert "16" in error_of(chat(http, server, stop=["x"] * 17), 400)["message"]


def test_an_unknown_field_is_refused_with_a_suggestion(http: httpx.Client, server: ServerUnderTest) -> None:
    error = error_of(chat(http, server, temprature=1), 400)
    assert error["param"] == "temprature"
    assert "'temperature'" in error["message"]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/embeddings"])
def test_an_unknown_model_is_a_404_that_names_what_exists(
    http: httpx.Client, server: ServerUnderTest, path: str
) -> None:
    body = (
        {"messages": HELLO}
        if "chat" in path
        else {"prompt": "a"}
        if "completions" in path
        else {"input": "a"}
    )
    error = error_of(http.post(path, json={"model": "gpt-none\u0000", **body}), 404)
    expected = server.embedding_model if path.endswith("embeddings") else server.model
    assert expected in error["message"]
    assert error["code"] == "model_not_found"
    assert error["param"] == "model"


def test_an_unknown_model_is_an_error_of_the_client_library(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-none")


def test_a_prompt_beyond_the_context_is_refused_before_any_work(
    http: httpx.Client, server: ServerUnderTest
) -> None:
    error = error_of(completion(http, server, prompt=CONTEXT_LIMIT_PROBE), 400)
    assert error["code"] == "context_length_exceeded"
    error = error_of(completion(http, server, max_tokens=10_000_000), 400)
    assert error["code"] == "context_length_exceeded"
    assert error["param"] == "max_tokens"
    long = [{"role": "user", "content": CONTEXT_LIMIT_PROBE}]
    assert error_of(chat(http, server, messages=long), 400)["code"] == "context_length_exceeded"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": []}, "input"),
        ({"input": ""}, "input"),
        ({"input": ["a", ""]}, "input"),
        ({"input": [1, 2]}, "input"),
        ({"input": {"a": 1}}, "input"),
        ({"input": ["a"] * 2049}, "input"),
        ({"input": "a", "dimensions": 4}, "dimensions"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format"),
        ({"input": "a", "extra": 1}, "extra"),
        ({}, "input"),
    ],
)
def test_a_bad_embedding_field_is_named(
    http: httpx.Client, server: ServerUnderTest, fields: dict[str, Any], param: str
) -> None:
    response = http.post("/v1/embeddings", json={"model": server.embedding_model, **fields})
    assert error_of(response, 400)["param"] == param


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"5",
        b'"text"',
        b"\xff\xfe\x00",
        b'{"model": "\xff"}',
        b'{"model": "\\ud800"}',
        b'{"model": NaN}',
        b"[" * 100_000,
        b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        b"\xef\xbb\xbf{}",
    ],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/embeddings"])
def test_a_malformed_body_is_a_400(http: httpx.Client, path: str, body: bytes) -> None:
    error_of(http.post(path, content=body, headers={"content-type": "application/json"}), 400)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999", "1" + "0" * 6000])
@pytest.mark.parametrize("field", ["temperature", "max_tokens", "seed", "n", "logit_bias"])
def test_numbers_without_a_value_are_refused(
    http: httpx.Client, server: ServerUnderTest, field: str, value: str
) -> None:
    shown = f'{{"1": {value}}}' if field == "logit_bias" else value
    body = f'{{"model": {json.dumps(server.model)}, "messages": [{{"role":"user","content":"a"}}], "{field}": {shown}}}'
    error = error_of(
        http.post("/v1/chat/completions", content=body, headers={"content-type": "application/json"}), 400
    )
    assert error["param"] is None or error["param"].startswith(field)


def test_nul_characters_and_odd_text_are_just_text(http: httpx.Client, server: ServerUnderTest) -> None:
    odd = [{"role": "user", "content": "a\u0000b \u202e\ufeff \U0001f468\u200d\U0001f469 ́"}]
    assert chat(http, server, messages=odd).status_code == 200


def test_another_content_type_is_refused(http: httpx.Client) -> None:
    response = http.post(
        "/v1/completions", content=b"a=b", headers={"content-type": "application/x-www-form-urlencoded"}
    )
    assert "application/json" in error_of(response, 415)["message"]


def test_unknown_paths_and_methods_have_the_same_error_shape(http: httpx.Client) -> None:
    error_of(http.get("/v1/nothing"), 404)
    error_of(http.get("/v1/chat/completions"), 405)
    error_of(http.delete("/v1/models"), 405)
    error_of(http.get("/v1/models/no/such"), 404)
