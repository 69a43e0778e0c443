"""Embeddings on a real vLLM: the vectors of sentence-transformers, whatever the batch, and ends that are errors."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio
from demo_models import demo_folder

from sage_infer_contracts.backend import BackendConfig, ModelLocation
from sage_infer_contracts.errors import BackendUnavailable, CapacityExceeded, InvalidRequest, SageInferError
from sage_infer_contracts.launch import BackendContext
from sage_infer_vllm.embedding.plugin import create

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="module")]
TOLERANCE = 1e-5
NOTICED_S = 15.0
TEXTS = [
    "",
    " ",
    "Paris is the capital of France.",
    "PARIS IS THE CAPITAL OF FRANCE.",
    "你好，世界。今天天气很好。",
    "😀 emoji 🎉🎉",
    "naïve café über",
    "def f(x):\n    return x + 1\n",
    "[CLS] special [SEP] tokens [PAD]",
    "word " * 253,
    "word " * 254,
    "word " * 255,
    "word " * 1000,
    "长" * 600,
    "مرحبا بالعالم",
    "zero\x00byte",
    "same",
    "same",
]
LONG = ["word " * 250 + str(number) for number in range(400)]


def unstarted(path: str, **settings: Any) -> Any:
    location = ModelLocation(model_id="demo-embed", path=path, model_type="embedding")
    options = {"enforce_eager": True}
    return create(
        BackendConfig(
            model=location, **{"max_batch_size": 8, "dtype": "fp32", "options": options, **settings}
        ),
        BackendContext(),
    )


@pytest.fixture(scope="module")
def folder() -> str:
    return demo_folder("demo-embed")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def embedder(folder: str) -> AsyncIterator[Any]:
    started = unstarted(folder, max_waiting_requests=3)
    await started.start()
    try:
        yield started
    finally:
        await started.close()


@pytest.fixture(scope="module")
def reference(folder: str) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(folder, device="cpu")


def far(left: list[list[float]], right: list[list[float]]) -> float:
    return max(abs(a - b) for x, y in zip(left, right, strict=True) for a, b in zip(x, y, strict=True))


def engine_of(backend: Any) -> Any:
    return backend._running.engine


def in_engine(backend: Any) -> int:
    """How many requests the engine's client still expects something of."""
    return int(engine_of(backend).llm.output_processor.get_num_unfinished_requests())


@contextlib.contextmanager
def steps(backend: Any, seen: Any) -> Iterator[None]:
    """Call ``seen`` after each step that vLLM reports."""
    counters = engine_of(backend).counters
    record = counters.record

    def recorded(*arguments: Any, **named: Any) -> None:
        record(*arguments, **named)
        seen()

    counters.record = recorded
    try:
        yield
    finally:
        del counters.record


def vllm_processes() -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "VLLM::" in " ".join(child.cmdline()):
                found.append(child)
    return found


async def test_vectors_are_those_of_sentence_transformers(embedder: Any, reference: Any) -> None:
    vectors = await embedder.embed(TEXTS)
    expected = reference.encode(TEXTS, batch_size=4).tolist()
    assert {len(vector) for vector in vectors} == {embedder.get_embedding_dim()} == {384}
    assert far(vectors, expected) <= TOLERANCE
    for mine, other in zip(vectors, expected, strict=True):
        length = math.hypot(*mine) * math.hypot(*other)
        assert sum(a * b for a, b in zip(mine, other, strict=True)) / length > 0.99999


@pytest.mark.parametrize("batch_size", [1, 3, 100])
async def test_a_vector_is_the_same_in_any_batch_and_order(embedder: Any, batch_size: int) -> None:
    backwards = await embedder.embed_batch(TEXTS[::-1], batch_size)
    alone = [(await embedder.embed([text]))[0] for text in TEXTS]
    assert far(backwards[::-1], alone) <= TOLERANCE


async def test_no_texts_give_no_vectors_and_no_work(embedder: Any) -> None:
    before = await embedder.stats()
    assert (
        await embedder.embed([]) == await embedder.embed_batch([], 1) == await embedder.count_tokens([]) == []
    )
    assert await embedder.stats() == before


async def test_the_counted_tokens_are_those_that_were_computed(embedder: Any, reference: Any) -> None:
    counted = await embedder.count_tokens(TEXTS)
    features = reference.tokenizer(TEXTS, truncation=True, max_length=reference.max_seq_length)
    assert counted == [len(ids) for ids in features["input_ids"]]
    assert max(counted) == embedder.get_max_length() == reference.max_seq_length == 256
    before = (await embedder.stats()).computed_tokens
    await embedder.embed(TEXTS)
    assert (await embedder.stats()).computed_tokens - before == sum(counted)


async def test_the_descriptor_is_what_runs(embedder: Any) -> None:
    described = embedder.get_capability()
    assert described.capabilities == embedder.capabilities == {"backend.embedding", "embedding.truncates"}
    assert (described.backend_name, described.instance_type) == ("vllm", "embedding")
    assert (described.max_sequence_length, described.max_batch_size) == (256, 8)
    assert described.max_waiting_requests == 3
    assert described.kv_schema is None
    assert described.kv_cache_capacity_gb == 0
    assert "fp32" in described.supported_precisions
    stats = await embedder.stats()
    assert (stats.blocks_total, stats.generated_tokens, stats.reused_tokens) == (0, 0, 0)
    assert (await embedder.health()).state == "ready"


@pytest.mark.parametrize("batch_size", [1, 5])
async def test_no_more_than_the_batch_size_is_in_the_engine(embedder: Any, batch_size: int) -> None:
    most = 0

    def look() -> None:
        nonlocal most
        # What this step answered has left; the step itself held no more than what is there and that.
        most = max(most, in_engine(embedder), engine_of(embedder).counters.stats(0).running)

    with steps(embedder, look):
        before = (await embedder.stats()).steps
        await embedder.embed_batch(TEXTS, batch_size)
    assert most <= batch_size
    assert (await embedder.stats()).steps - before >= len(TEXTS) // batch_size


@pytest.mark.parametrize("texts", ["one string", ["ok", 3], ["\ud800"], [None]])
async def test_bad_texts_are_named(embedder: Any, texts: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await embedder.embed(texts)
    assert (refused.value.param or "").startswith("texts")


@pytest.mark.parametrize("size", [0, -1, True, 1.5])
async def test_a_bad_batch_size_is_refused(embedder: Any, size: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await embedder.embed_batch(["a"], size)
    assert refused.value.param == "batch_size"


async def test_concurrent_calls_get_their_own_vectors(embedder: Any) -> None:
    alone = [(await embedder.embed([text]))[0] for text in "abcd"]
    together = await asyncio.gather(*(embedder.embed([text]) for text in "abcd"))
    assert far([vectors[0] for vectors in together], alone) <= TOLERANCE


async def test_calls_beyond_the_limit_are_refused(embedder: Any) -> None:
    results = await asyncio.gather(*(embedder.embed(["a"]) for _ in range(12)), return_exceptions=True)
    refused = [result for result in results if isinstance(result, BaseException)]
    assert len(refused) == 8
    assert all(isinstance(error, CapacityExceeded) for error in refused)
    assert len(await embedder.embed(["a"])) == 1


async def test_a_cancelled_call_leaves_the_engine(embedder: Any) -> None:
    stepped = asyncio.Event()
    before = (await embedder.stats()).computed_tokens
    with steps(embedder, stepped.set):
        call = asyncio.create_task(embedder.embed(LONG))
        await stepped.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert in_engine(embedder) == 0
    assert len(await embedder.embed(["a"])) == 1
    stats = await embedder.stats()
    assert stats.computed_tokens - before < 250 * len(LONG) / 4
    assert (stats.running, stats.waiting) == (0, 0)


async def test_a_call_cancelled_at_any_moment_leaves_nothing(embedder: Any) -> None:
    for turns in range(12):
        call = asyncio.create_task(embedder.embed(TEXTS))
        for _ in range(turns):
            await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert in_engine(embedder) == 0
    assert len(await embedder.embed(["a"])) == 1


async def refused(backend: Any) -> SageInferError:
    with pytest.raises(SageInferError) as caught:
        await backend.start()
    assert (await backend.health()).state == "failed"
    await backend.close()
    return caught.value


async def test_what_is_no_embedding_model_is_refused(folder: str, tmp_path: Path) -> None:
    absent = await refused(unstarted(str(tmp_path / "absent")))
    assert isinstance(absent, InvalidRequest)
    assert "not a folder" in str(absent)
    language = await refused(unstarted(demo_folder()))
    assert isinstance(language, InvalidRequest)
    assert "pooling" in str(language)
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    (broken / "model.safetensors").write_bytes(b"garbage")
    assert isinstance(await refused(unstarted(str(broken))), InvalidRequest)
    told = await refused(unstarted(folder, max_sequence_length=257))
    assert isinstance(told, InvalidRequest)
    assert told.param == "max_sequence_length"
    with pytest.raises(InvalidRequest, match="int8"):
        unstarted(folder, dtype="int8")


@pytest.fixture
def unlike_vllm(folder: str, tmp_path: Path) -> Path:
    """MiniLM in a folder that asks for what vLLM reads otherwise, or not at all: see the settings."""
    copy = tmp_path / "unlike"
    shutil.copytree(
        folder, copy / "0_Transformer", ignore=shutil.ignore_patterns("modules.json", "*_Pooling")
    )
    kinds = {"0_Transformer": "Transformer", "1_Pooling": "Pooling"}
    modules = [
        {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for index, (path, kind) in enumerate(kinds.items())
    ]
    settings = {
        "modules.json": modules,
        "1_Pooling/config.json": {"word_embedding_dimension": 384, "pooling_mode": "lasttoken"},
        "0_Transformer/sentence_bert_config.json": {"max_seq_length": 600, "do_lower_case": True},
        "config_sentence_transformers.json": {"prompts": {"q": "query: "}, "default_prompt_name": "q"},
    }
    (copy / "1_Pooling").mkdir()
    for name, content in settings.items():
        (copy / name).write_text(json.dumps(content))
    return copy


async def has_reference_vectors(backend: Any, folder: Path) -> None:
    from sentence_transformers import SentenceTransformer

    reference = SentenceTransformer(str(folder), device="cpu")
    reference.max_seq_length = backend.get_max_length()
    assert backend.get_max_length() == 512  # the position table ends there, whatever the folder says
    vectors = await backend.embed(TEXTS)
    # Not normalised, so that the numbers are larger than those of a unit vector.
    assert max(abs(value) for vector in vectors for value in vector) > 1
    assert far(vectors, reference.encode(TEXTS, batch_size=4).tolist()) <= 10 * TOLERANCE


async def test_a_folder_is_followed_where_vllm_would_not_and_a_killed_engine_fails_what_is_pending(
    unlike_vllm: Path,
) -> None:
    """Two tests in one, because an engine takes half a minute to start."""
    backend = unstarted(str(unlike_vllm))
    with pytest.raises(BackendUnavailable, match="created"):
        await backend.embed(["a"])
    present = {process.pid for process in vllm_processes()}
    await backend.start()
    await has_reference_vectors(backend, unlike_vllm)
    stepped = asyncio.Event()
    with steps(backend, stepped.set):
        calls = [asyncio.create_task(backend.embed(LONG)) for _ in range(3)]
        await stepped.wait()
        (victim,) = [
            process
            for process in vllm_processes()
            if process.pid not in present and "EngineCore" in " ".join(process.cmdline())
        ]
        victim.kill()
        async with asyncio.timeout(NOTICED_S):
            ends = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(end, BackendUnavailable) for end in ends), ends
    health = await backend.health()
    assert health.state == "failed"
    assert "start" in (health.reason or "")
    with pytest.raises(BackendUnavailable):
        await backend.embed(["a"])
    await backend.close()
    await backend.close()
    assert {process.pid for process in vllm_processes()} == present


async def test_closing_with_calls_pending(embedder: Any) -> None:
    """Last in this module: it closes the engine that the others share."""
    stepped = asyncio.Event()
    with steps(embedder, stepped.set):
        calls = [asyncio.create_task(embedder.embed(LONG)) for _ in range(3)]
        await stepped.wait()
        await embedder.close()
    ends = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(end, BackendUnavailable) for end in ends), ends
    await embedder.close()
    assert (await embedder.health()).state == "closed"
    assert vllm_processes() == []
    with pytest.raises(BackendUnavailable, match="closed"):
        await embedder.embed(["a"])
    with pytest.raises(BackendUnavailable, match="create a new one"):
        await embedder.start()
