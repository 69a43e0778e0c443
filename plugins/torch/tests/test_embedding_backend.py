"""The embedding backend's contract: refusals, limits, concurrency, closing."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sage_infer_contracts.backend import BackendConfig, ModelLocation
from sage_infer_contracts.embedding import EmbeddingBackend
from sage_infer_contracts.errors import BackendUnavailable, CapacityExceeded, InvalidRequest, Unsupported
from sage_infer_contracts.launch import BackendContext
from sage_infer_contracts.membership import missing_members
from sage_infer_torch.embedding.batching import batches
from sage_infer_torch.embedding.plugin import create

pytestmark = pytest.mark.engine


def _models() -> ModuleType:
    name = "sage_infer_embedding_models"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("embedding_models.py"))
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def made(folder: Path, **config: Any) -> EmbeddingBackend:
    location = ModelLocation(model_id="m", path=str(folder), model_type="embedding")
    return create(BackendConfig(model=location, **config), BackendContext())


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    encoder: Path = _models().tiny_encoder(tmp_path_factory.mktemp("tiny"))
    folder: Path = _models().sentence_folder(
        tmp_path_factory.mktemp("m") / "m", encoder, "mean", normalize=True, max_seq_length=32
    )
    return folder


@pytest.fixture
async def backend(tiny: Path) -> AsyncIterator[EmbeddingBackend]:
    one = made(tiny, max_waiting_requests=3)
    await one.start()
    yield one
    await one.close()


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    import shutil

    return Path(shutil.copytree(tiny, tmp_path / "copy"))


def test_the_backend_lacks_a_member_of_the_protocol(tiny: Path) -> None:
    assert missing_members(made(tiny), EmbeddingBackend) == []


async def test_an_empty_list_gives_something(backend: EmbeddingBackend) -> None:
    assert await backend.embed([]) == []
    assert await backend.count_tokens([]) == []


async def test_counted_tokens_are_not_those_the_model_saw(backend: EmbeddingBackend) -> None:
    texts = ["", "ab", "a" * 500]
    assert await backend.count_tokens(texts) == [2, 4, 32]
    before = (await backend.stats()).computed_tokens
    await backend.embed(texts)
    assert (await backend.stats()).computed_tokens - before == 38


async def test_the_declared_limits_are_not_the_enforced_ones(backend: EmbeddingBackend) -> None:
    described = backend.get_capability()
    assert described.max_sequence_length == backend.get_max_length() == 32
    assert "embedding.truncates" in described.capabilities


@pytest.mark.parametrize("texts", ["one string", ["ok", 3], ["\ud800"], [None]])
async def test_bad_texts_reach_the_model(backend: EmbeddingBackend, texts: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await backend.embed(texts)
    assert (refused.value.param or "").startswith("texts")


@pytest.mark.parametrize("size", [0, -1, True, 1.5])
async def test_a_bad_batch_size_is_taken(backend: EmbeddingBackend, size: Any) -> None:
    with pytest.raises(InvalidRequest):
        await backend.embed_batch(["a"], size)


async def test_concurrent_calls_mix_their_vectors(backend: EmbeddingBackend) -> None:
    alone = [await backend.embed([text]) for text in "abc"]
    together = await asyncio.gather(*(backend.embed([text]) for text in "abc"))
    for one, other in zip(alone, together, strict=True):
        assert max(abs(a - b) for a, b in zip(one[0], other[0], strict=True)) < 1e-5


async def test_the_queue_is_unbounded(backend: EmbeddingBackend) -> None:
    results = await asyncio.gather(*(backend.embed(["a"]) for _ in range(12)), return_exceptions=True)
    refused = [result for result in results if isinstance(result, CapacityExceeded)]
    assert len(refused) == 8
    assert all(isinstance(result, (list, CapacityExceeded)) for result in results)
    assert len(await backend.embed(["a"])) == 1


async def test_closing_leaves_calls_hanging_or_threads_behind(tiny: Path) -> None:
    one = made(tiny)
    await one.start()
    pending = [asyncio.create_task(one.embed(["ab" * 10] * 200)) for _ in range(4)]
    await asyncio.sleep(0)
    await one.close()
    await one.close()
    results = await asyncio.wait_for(asyncio.gather(*pending, return_exceptions=True), 30)
    assert all(isinstance(result, BackendUnavailable) for result in results)
    assert (await one.health()).state == "closed"
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("sage-embedding")]
    with pytest.raises(BackendUnavailable):
        await one.embed(["a"])


async def test_a_cancelled_call_holds_its_place(backend: EmbeddingBackend) -> None:
    call = asyncio.create_task(backend.embed(["ab"] * 500))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert len(await backend.embed(["a"])) == 1
    assert (await backend.stats()).waiting == 0


async def test_an_unstarted_backend_answers(tiny: Path) -> None:
    with pytest.raises(BackendUnavailable, match="created"):
        await made(tiny).embed(["a"])
    with pytest.raises(BackendUnavailable):
        made(tiny).get_embedding_dim()


async def refused_at_start(folder: Path, kind: type[Exception], text: str, **config: Any) -> None:
    one = made(folder, **config)
    with pytest.raises(kind, match=text):
        await one.start()
    assert (await one.health()).state == "failed"
    await one.close()


async def test_an_unknown_module_is_skipped(copy: Path) -> None:
    modules = json.loads((copy / "modules.json").read_text())
    modules.insert(
        2, {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"}
    )
    (copy / "modules.json").write_text(json.dumps(modules))
    await refused_at_start(copy, Unsupported, "Dense")


async def test_code_from_the_folder_is_run(copy: Path) -> None:
    modules = json.loads((copy / "modules.json").read_text())
    modules[0]["type"] = "custom_st.Transformer"
    (copy / "modules.json").write_text(json.dumps(modules))
    await refused_at_start(copy, Unsupported, "custom_st")


@pytest.mark.parametrize("mode", ["max", "weightedmean", ["mean", "cls"]])
async def test_an_unserved_pooling_becomes_mean(copy: Path, mode: Any) -> None:
    _models().edit_json(copy / "1_Pooling" / "config.json", pooling_mode=mode)
    await refused_at_start(copy, Unsupported, "pools by")


async def test_a_module_path_leaves_the_folder(copy: Path) -> None:
    modules = json.loads((copy / "modules.json").read_text())
    modules[1]["path"] = "../../etc"
    (copy / "modules.json").write_text(json.dumps(modules))
    await refused_at_start(copy, InvalidRequest, "outside")


async def test_a_folder_without_modules_gets_a_guessed_pooling(copy: Path) -> None:
    (copy / "modules.json").unlink()
    await refused_at_start(copy, InvalidRequest, "pooling")
    told = made(copy, options={"pooling": "cls", "normalize": True})
    await told.start()
    assert len((await told.embed(["abc"]))[0]) == 32
    await told.close()


async def test_broken_folders_raise_something_else(copy: Path, tmp_path: Path) -> None:
    await refused_at_start(tmp_path / "nowhere", InvalidRequest, "not a folder")
    (copy / "model.safetensors").write_bytes(b"garbage")
    one = made(copy)
    with pytest.raises(InvalidRequest):
        await one.start()
    (copy / "modules.json").write_text("{broken")
    await refused_at_start(copy, InvalidRequest, "modules.json")


async def test_a_longer_maximum_than_the_model_has_is_promised(tiny: Path) -> None:
    await refused_at_start(tiny, InvalidRequest, "max_sequence_length 33", max_sequence_length=33)


@pytest.mark.parametrize(
    "config",
    [{"tensor_parallel_size": 2}, {"kv_cache_memory_bytes": 1}, {"device_ids": (0, 1)}],
)
def test_a_setting_without_effect_is_accepted(tiny: Path, config: dict[str, Any]) -> None:
    with pytest.raises(Unsupported):
        made(tiny, **config)


def test_an_unknown_option_is_ignored(tiny: Path) -> None:
    with pytest.raises(InvalidRequest, match="poling"):
        made(tiny, options={"poling": "mean"})


def test_batches_lose_texts_or_break_their_bounds() -> None:
    lengths = [5, 1, 9, 0, 3, 100]
    cut = list(batches(lengths, max_texts=2, max_tokens=10))
    assert sorted(index for batch in cut for index in batch) == list(range(6))
    assert all(len(batch) <= 2 for batch in cut)
    assert all(len(batch) * max(lengths[i] for i in batch) <= 10 or len(batch) == 1 for batch in cut)
