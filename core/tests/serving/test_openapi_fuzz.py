"""Random requests made from the OpenAPI document: never a 5xx, and every refusal has OpenAI's shape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis import GenerationMode
from serving_kit.live_server import EMBEDDING, MODEL, LiveServer

pytestmark = pytest.mark.slow

STREAM_END = "data: [DONE]\n\n"
OPERATIONS = [
    ("/v1/chat/completions", "POST"),
    ("/v1/completions", "POST"),
    ("/v1/embeddings", "POST"),
    ("/v1/models", "GET"),
    ("/v1/models/{model_id}", "GET"),
    ("/health", "GET"),
    ("/ready", "GET"),
    ("/metrics", "GET"),
]
SETTINGS = hypothesis.settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
    phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
)


@pytest.fixture(scope="module")
def live() -> Iterator[LiveServer]:
    with LiveServer(backend={"max_sequence_length": 128}) as server:
        yield server


@pytest.fixture(scope="module")
def api(live: LiveServer) -> Any:
    return schemathesis.openapi.from_url(f"{live.base_url}/openapi.json")


def test_every_operation_is_fuzzed(api: Any) -> None:
    found = {(result.ok().path, result.ok().method.upper()) for result in api.get_all_operations()}
    assert found == set(OPERATIONS)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_no_request_breaks_the_server(
    api: Any, live: LiveServer, path: str, method: str, mode: GenerationMode
) -> None:
    statuses: set[int] = set()

    @SETTINGS
    @hypothesis.given(case=api[path][method].as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        if isinstance(case.body, dict) and isinstance(case.body.get("model"), str):
            # Otherwise nearly every request would stop at the unknown model.
            case.body["model"] = EMBEDDING if path.endswith("embeddings") else MODEL
        response = case.call(timeout=30)
        statuses.add(response.status_code)
        assert response.status_code < 500, response.text
        if response.status_code >= 400 and method == "POST":
            error = response.json()["error"]
            assert set(error) == {"message", "type", "param", "code"}
            assert error["message"]
        elif "event-stream" in str(response.headers.get("content-type")):
            assert response.text.endswith(STREAM_END)

    try:
        check()
    except hypothesis.errors.Unsatisfiable:
        pytest.skip("this operation has nothing to get wrong")
    if mode is GenerationMode.POSITIVE and method == "POST":
        assert 200 in statuses, "the generator never made a request that was served"


def test_nothing_is_left_after_the_fuzz(live: LiveServer) -> None:
    live.until(lambda: not live.manager.status().requests)
    stats = live.call(live.backend.stats)
    assert stats.blocks_free == stats.blocks_total
