"""Compiled decode steps: the tokens of the eager ones, made once, kept, and never in the way of the engine."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

torch = pytest.importorskip("torch")

from sage_infer_contracts.sampling import SamplingParams  # noqa: E402
from sage_infer_torch.attention import gather_sdpa  # noqa: E402
from sage_infer_torch.batch import Batch, build_batch  # noqa: E402
from sage_infer_torch.device_cpu import CpuRuntime  # noqa: E402
from sage_infer_torch.graphs import decode  # noqa: E402
from sage_infer_torch.graphs.compiler import GraphCompiler  # noqa: E402
from sage_infer_torch.graphs.decode import DecodeGraphs  # noqa: E402
from sage_infer_torch.graphs.store import GraphStore  # noqa: E402
from sage_infer_torch.kv_pool import KVPool  # noqa: E402
from sage_infer_torch.model import LoadedModel, load_model  # noqa: E402
from sage_infer_torch.scheduler import Work  # noqa: E402
from sage_infer_torch.sequence import new_probe  # noqa: E402

pytestmark = pytest.mark.engine
PROMPTS = [[5, 9, 2, 77, 31], [8, 8, 1], [400, 3, 12, 9, 9, 10, 44]]
GREEDY = SamplingParams(max_tokens=24, temperature=0.0, ignore_eos=True)
SEEDED = SamplingParams(max_tokens=24, temperature=0.9, seed=7, ignore_eos=True)
PATIENCE_S = 120.0


@pytest.fixture(scope="module")
def path(tiny_model: Callable[..., str]) -> str:
    """A model of two layers, whose graphs compile in seconds."""
    import transformers

    return tiny_model(
        transformers.LlamaConfig(
            vocab_size=49_152,
            hidden_size=64,
            intermediate_size=96,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=256,
        )
    )


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tests of this module keep graphs; what one compiled the next finds."""
    return tmp_path_factory.mktemp("graphs")


@pytest.fixture
def model(path: str) -> Iterator[LoadedModel]:
    runtime = CpuRuntime()
    runtime.prepare()
    with torch.inference_mode():
        yield load_model(
            path, runtime=runtime, device=torch.device("cpu"), dtype_name="fp32", kernel=gather_sdpa
        )


async def tokens(backend: Any, params: SamplingParams) -> list[tuple[int, ...]]:
    streams = await backend.generate(PROMPTS, params)
    return [done.token_ids for done in await asyncio.gather(*(stream.collect() for stream in streams))]


async def ready(backend: Any) -> tuple[int, ...]:
    return await backend._engine.ask(lambda core: core.graphs.ready)


@pytest.mark.asyncio
async def test_graphs_come_while_the_engine_serves_and_give_the_same_tokens(
    open_backend: Callable[..., Any], path: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGE_INFER_CACHE", str(cache))
    async with open_backend(path, {"graphs": False}, max_batch_size=4) as eager:
        expected = [await tokens(eager, GREEDY), await tokens(eager, SEEDED)]
    async with open_backend(path, {"graph_after_steps": 2}, max_batch_size=4) as backend:
        async with asyncio.timeout(PATIENCE_S):
            while 4 not in await ready(backend):  # three sequences run in the graph for four
                assert [await tokens(backend, GREEDY), await tokens(backend, SEEDED)] == expected
        before = await backend._engine.ask(lambda core: core.graphs.steps)
        assert [await tokens(backend, GREEDY), await tokens(backend, SEEDED)] == expected
        assert await backend._engine.ask(lambda core: core.graphs.steps) > before


def batch_of(model: LoadedModel, rows: int) -> Batch:
    pool = KVPool(model.schema(4), 4 * rows, dtype=model.dtype, device=model.device)
    works = [
        Work(new_probe([7, 3, row, 11, 5], list(range(2 * row, 2 * row + 2))), 4, 1) for row in range(rows)
    ]
    return build_batch(works, pool, gather_sdpa, model.device)


def wait_for(graphs: DecodeGraphs, batch: Batch, arrived: threading.Event) -> None:
    assert graphs.forward(batch) is None
    assert arrived.wait(PATIENCE_S)


@pytest.fixture
def arrived(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set once a graph was fetched, or could not be."""
    event = threading.Event()
    fetch = GraphCompiler._fetch

    def fetched(self: GraphCompiler, rows: int) -> None:
        fetch(self, rows)
        event.set()

    monkeypatch.setattr(GraphCompiler, "_fetch", fetched)
    return event


def test_a_kept_graph_is_loaded_sooner_and_without_a_compiling_process(
    model: LoadedModel,
    path: str,
    cache: Path,
    arrived: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batch = batch_of(model, 2)
    monkeypatch.setattr(decode, "KEPT_AFTER_STEPS", 1)
    for start, patience in (("first", 1), ("second", 1_000)):
        arrived.clear()
        graphs = DecodeGraphs(model, path, 2, cache / "kept", patience=patience)
        try:
            wait_for(graphs, batch, arrived)
            first, compiled = graphs.forward(batch), graphs.forward(batch)
            assert graphs.ready == (2,)
            torch.testing.assert_close(compiled, first, rtol=1e-4, atol=1e-5)
            assert (graphs._compiler._child is None) == (start == "second")
        finally:
            graphs.close()


def test_a_graph_that_differs_from_the_model_is_not_used(
    model: LoadedModel, path: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    batch = batch_of(model, 2)
    graphs = DecodeGraphs(model, path, 2, tmp_path, patience=100)
    try:
        graphs._arrived[2] = lambda *inputs: (torch.zeros(2, model.vocabulary),)
        expected = model.forward(batch)
        assert torch.equal(graphs.forward(batch), expected)
        assert graphs.ready == ()
        assert graphs.forward(batch) is None
    finally:
        graphs.close()
    assert "differs from the model" in caplog.text


def test_without_a_compiler_the_engine_says_so_and_goes_on_eagerly(
    model: LoadedModel,
    path: str,
    tmp_path: Path,
    arrived: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("CXX", str(tmp_path / "no-compiler"))
    batch = batch_of(model, 2)
    graphs = DecodeGraphs(model, path, 2, tmp_path, patience=1)
    try:
        with caplog.at_level(logging.WARNING):
            wait_for(graphs, batch, arrived)
        assert graphs.forward(batch) is None
    finally:
        graphs.close()
    assert "no compiled graph for decode batches of 2" in caplog.text


def test_closing_ends_the_compiling_process(
    model: LoadedModel, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = threading.Event()
    running_child = GraphCompiler._running_child

    def noted(self: GraphCompiler) -> Any:
        child = running_child(self)
        started.set()
        return child

    monkeypatch.setattr(GraphCompiler, "_running_child", noted)
    graphs = DecodeGraphs(model, path, 2, tmp_path, patience=1)
    assert graphs.forward(batch_of(model, 2)) is None
    assert started.wait(PATIENCE_S)
    child = graphs._compiler._child
    assert child is not None
    graphs.close()
    assert not psutil.pid_exists(child.pid)


def test_a_prompt_step_and_a_large_batch_are_eager(model: LoadedModel, path: str, tmp_path: Path) -> None:
    graphs = DecodeGraphs(model, path, 2, tmp_path, patience=1)
    try:
        pool = KVPool(model.schema(4), 4, dtype=model.dtype, device=model.device)
        prompt = build_batch([Work(new_probe([1, 2, 3], [0]), 0, 3)], pool, gather_sdpa, model.device)
        assert graphs.forward(prompt) is None
        assert graphs.forward(batch_of(model, 65)) is None
        assert graphs._eager_steps == {}
    finally:
        graphs.close()


def test_the_key_tells_models_dtypes_and_threads_apart(path: str, tmp_path: Path) -> None:
    def folder(dtype: str = "float32", threads: int = 2) -> Path:
        return GraphStore(tmp_path, path, dtype, threads).folder

    assert folder() == folder()
    assert len({folder(), folder("bfloat16"), folder(threads=1)}) == 3
    config = Path(path, "config.json")
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text(config.read_text().replace('"rms_norm_eps"', '"rms_norm_eps_"'))
    assert GraphStore(tmp_path, str(other), "float32", 2).folder != folder()
