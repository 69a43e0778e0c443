"""Vectors against sentence-transformers, on the real MiniLM and on tiny random models."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from sage_infer_contracts.backend import BackendConfig, ModelLocation
from sage_infer_contracts.launch import BackendContext
from sage_infer_contracts.models import ModelRequest
from sage_infer_torch.embedding.plugin import create

pytestmark = pytest.mark.engine
TEXTS = [
    "",
    " ",
    "Paris is the capital of France.",
    "PARIS IS THE CAPITAL OF FRANCE.",
    "What is the capital of France?",
    "你好，世界。今天天气很好。",
    "日本語のテキスト",
    "😀 emoji 🎉🎉",
    "naïve café über",
    "a",
    "1234567890",
    "def f(x):\n    return x + 1\n",
    "\t tabs and\nnewlines \r\n",
    "[CLS] special [SEP] tokens [PAD]",
    "supercalifragilisticexpialidocious",
    "word " * 1000,
    "长" * 600,
    "The quick brown fox jumps over the lazy dog. " * 3,
    "مرحبا بالعالم",
    "Ünïcödé\u0301 combining",
    "<html><body>text</body></html>",
    "zero\x00byte",
    "same",
    "same",
]


def _models() -> ModuleType:
    name = "sage_infer_embedding_models"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("embedding_models.py"))
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


class Running:
    """A started backend with a loop of its own, for synchronous (Hypothesis) tests."""

    def __init__(self, folder: Path, **config: Any) -> None:
        self.loop = asyncio.new_event_loop()
        location = ModelLocation(model_id="m", path=str(folder), model_type="embedding")
        self.backend = create(BackendConfig(model=location, **config), BackendContext())
        self.loop.run_until_complete(self.backend.start())

    def embed(self, texts: list[str], size: int = 32) -> list[list[float]]:
        return self.loop.run_until_complete(self.backend.embed_batch(texts, size))

    def close(self) -> None:
        self.loop.run_until_complete(self.backend.close())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()


@pytest.fixture
def running() -> Iterator[Callable[..., Running]]:
    made: list[Running] = []

    def start(folder: Path, **config: Any) -> Running:
        made.append(Running(folder, **config))
        return made[-1]

    yield start
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from importlib.metadata import entry_points

    found = entry_points(group="sage_infer.model_source.v1", name="demo-embed")
    if not found:
        pytest.skip("sage-infer-demo is not installed")
    request = ModelRequest(name="demo-embed", cache_dir=tmp_path_factory.mktemp("models"))
    return Path(next(iter(found)).load()().resolve(request).path)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = _models().tiny_encoder(tmp_path_factory.mktemp("tiny"))
    return folder


@pytest.fixture(scope="session")
def started_minilm(minilm: Path) -> Iterator[Running]:
    one = Running(minilm)
    yield one
    one.close()


def reference(folder: Path, texts: list[str]) -> list[list[float]]:
    from sentence_transformers import SentenceTransformer

    vectors = SentenceTransformer(str(folder), device="cpu").encode(texts, batch_size=4)
    listed: list[list[float]] = vectors.tolist()
    return listed


def far(left: list[list[float]], right: list[list[float]]) -> float:
    return max(abs(a - b) for x, y in zip(left, right, strict=True) for a, b in zip(x, y, strict=True))


def test_minilm_vectors_differ_from_sentence_transformers(minilm: Path, started_minilm: Running) -> None:
    vectors = started_minilm.embed(TEXTS)
    assert started_minilm.backend.get_embedding_dim() == 384
    assert started_minilm.backend.get_max_length() == 256
    assert far(vectors, reference(minilm, TEXTS)) < 1e-5


@settings(max_examples=15, deadline=None)
@given(picked=st.lists(st.integers(0, len(TEXTS) - 1), max_size=8), size=st.integers(1, 5))
def test_a_vector_depends_on_its_batch(started_minilm: Running, picked: list[int], size: int) -> None:
    alone = [started_minilm.embed([TEXTS[index]])[0] for index in picked]
    together = started_minilm.embed([TEXTS[index] for index in picked], size)
    assert len(together) == len(picked)
    assert not picked or far(together, alone) < 1e-5


@pytest.mark.parametrize("pooling", ["mean", "cls", "lasttoken"])
@pytest.mark.parametrize("normalize", [True, False])
def test_pooling_or_norm_differs_from_sentence_transformers(
    running: Callable[..., Running], tiny: Path, tmp_path: Path, pooling: str, normalize: bool
) -> None:
    folder = _models().sentence_folder(tmp_path / "m", tiny, pooling, normalize=normalize, max_seq_length=16)
    vectors = running(folder).embed(TEXTS, 3)
    assert far(vectors, reference(folder, TEXTS)) < 1e-5
    lengths = [sum(value * value for value in vector) for vector in vectors]
    assert normalize == all(abs(length - 1) < 1e-4 for length in lengths)


def test_lower_casing_is_ignored(running: Callable[..., Running], tiny: Path, tmp_path: Path) -> None:
    folder = _models().sentence_folder(tmp_path / "m", tiny, "mean", normalize=False, do_lower_case=True)
    _models().edit_json(folder / "sentence_bert_config.json", do_lower_case=True)
    vectors = running(folder).embed(["Hello ABC", "hello abc"])
    assert far(vectors[:1], vectors[1:]) == 0.0
    assert far(vectors, reference(folder, ["Hello ABC", "hello abc"])) < 1e-5


def test_the_default_prompt_is_ignored(running: Callable[..., Running], tiny: Path, tmp_path: Path) -> None:
    folder = _models().sentence_folder(tmp_path / "m", tiny, "mean", normalize=True)
    _models().edit_json(
        folder / "config_sentence_transformers.json", prompts={"q": "query "}, default_prompt_name="q"
    )
    assert far(running(folder).embed(["abc"]), reference(folder, ["abc"])) < 1e-5


def test_the_position_table_is_overrun_without_a_maximum(
    running: Callable[..., Running], tiny: Path, tmp_path: Path
) -> None:
    folder = _models().sentence_folder(tmp_path / "m", tiny, "mean", normalize=True)
    one = running(folder)
    assert one.backend.get_max_length() == 64
    assert far(one.embed(["a" * 500]), reference(folder, ["a" * 500])) < 1e-5


def test_a_token_budget_changes_vectors(running: Callable[..., Running], tiny: Path, tmp_path: Path) -> None:
    folder = _models().sentence_folder(tmp_path / "m", tiny, "mean", normalize=True)
    few, many = running(folder, max_batched_tokens=8), running(folder, max_batch_size=64)
    assert far(few.embed(TEXTS), many.embed(TEXTS)) < 1e-5
