"""What an embedding backend refuses and decides before vLLM runs, and how it hands texts out. Needs no vLLM."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sage_infer_contracts.backend import BackendConfig, ModelLocation
from sage_infer_contracts.embedding import EmbeddingBackend
from sage_infer_contracts.engines.sentence_folder import EncoderFolder
from sage_infer_contracts.errors import BackendUnavailable, InvalidRequest, SageInferError, Unsupported
from sage_infer_contracts.kv import parse_kv_schema
from sage_infer_contracts.launch import BackendContext
from sage_infer_contracts.membership import missing_members
from sage_infer_vllm.embedding.description import describe, engine_config, pooler_of
from sage_infer_vllm.embedding.plugin import create
from sage_infer_vllm.embedding.texts import Texts, _positions
from sage_infer_vllm.embedding.vectors import Vectors

POOLING = "sentence_transformers.models.Pooling"


def config_of(folder: Path | str, **settings: Any) -> BackendConfig:
    location = ModelLocation(model_id="m", path=str(folder), model_type="embedding")
    return BackendConfig(model=location, **settings)


def made(folder: Path | str = "m", **settings: Any) -> Any:
    return create(config_of(folder, **settings), BackendContext())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sentence-transformers folder as far as it is read before its model is."""
    kinds = ("Transformer", "Pooling", "Normalize")
    paths = ("", "1_Pooling", "2_Normalize")
    modules = [
        {"idx": number, "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (kind, path) in enumerate(zip(kinds, paths, strict=True))
    ]
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    (tmp_path / "config.json").write_text("{}")
    return tmp_path


def test_every_member_of_the_contract_is_there() -> None:
    assert missing_members(made(), EmbeddingBackend) == []
    assert made().capabilities == {"backend.embedding", "embedding.truncates"}
    parallel = made(tensor_parallel_size=2, device_ids=(0, 1))
    assert "backend.tensor_parallel" in parallel.capabilities


@pytest.mark.parametrize(
    ("settings", "family", "param"),
    [
        ({"options": {"poling": "mean"}}, InvalidRequest, "options.poling"),
        ({"options": {"lease_s": 3}}, InvalidRequest, "options.lease_s"),
        ({"options": {"pooling": "max"}}, InvalidRequest, "options.pooling"),
        ({"dtype": "int8"}, InvalidRequest, "dtype"),
        ({"device_ids": (0, 1)}, InvalidRequest, "device_ids"),
        ({"kv_schema": parse_kv_schema("preset=fp32")}, Unsupported, "kv_schema"),
    ],
)
def test_a_setting_is_refused_by_name(
    settings: dict[str, Any], family: type[SageInferError], param: str
) -> None:
    with pytest.raises(family) as refused:
        made(**settings)
    assert getattr(refused.value, "param", None) == param


async def refused(folder: Path, **settings: Any) -> str:
    backend = made(folder, **settings)
    with pytest.raises((InvalidRequest, Unsupported)) as caught:
        await backend.start()
    assert (await backend.health()).state == "failed"
    await backend.close()
    assert (await backend.health()).state == "closed"
    return str(caught.value)


async def test_a_folder_without_modules_must_be_told_its_pooling(folder: Path) -> None:
    assert "not a folder" in await refused(folder / "absent")
    (folder / "modules.json").unlink()
    assert "pooling" in await refused(folder)


async def test_modules_that_vllm_does_not_run_are_refused(folder: Path) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    dense = {"idx": 2, "path": "2_Dense", "type": "sentence_transformers.models.Dense"}
    (folder / "modules.json").write_text(json.dumps([*modules[:2], dense]))
    assert "Dense" in await refused(folder)


@pytest.mark.parametrize("mode", ["max", "weightedmean", ["mean", "cls"]])
async def test_a_pooling_that_vllm_does_not_do_is_refused(folder: Path, mode: Any) -> None:
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode": mode}))
    assert "pools by" in await refused(folder)


async def test_an_unstarted_backend_says_so() -> None:
    backend = made()
    with pytest.raises(BackendUnavailable, match="created"):
        await backend.embed(["a"])
    with pytest.raises(BackendUnavailable, match="created"):
        backend.get_embedding_dim()
    assert (await backend.stats()).computed_tokens == 0
    await backend.close()
    await backend.close()
    with pytest.raises(BackendUnavailable, match="create a new one"):
        await backend.start()


def texts_of(pooling: Any = "mean", *, normalize: bool = True) -> Texts:
    return Texts(EncoderFolder(Path("m/0_T"), pooling, normalize, None, False, ""), None, 256)


@pytest.mark.parametrize(("pooling", "named"), [("mean", "MEAN"), ("cls", "CLS"), ("last", "LAST")])
def test_pooling_is_asked_of_vllm_by_its_own_name(pooling: str, named: str) -> None:
    asked = pooler_of(texts_of(pooling, normalize=False).folder)
    assert asked == {"seq_pooling_type": named, "use_activation": False}


def test_the_engine_gets_the_folders_model_and_length() -> None:
    config = engine_config(config_of("m"), texts_of())
    assert Path(config.model.path) == Path("m/0_T")
    assert config.max_sequence_length == 256


def test_an_engine_that_pools_otherwise_is_refused() -> None:
    pooler = SimpleNamespace(seq_pooling_type="CLS", use_activation=True)
    llm = SimpleNamespace(vllm_config=SimpleNamespace(model_config=SimpleNamespace(pooler_config=pooler)))
    with pytest.raises(Unsupported, match="CLS"):
        describe(config_of("m"), llm, texts_of(), {"tensor_bytes": 0})
    pooler.seq_pooling_type = "MEAN"
    with pytest.raises(Unsupported, match="keeps no KV"):
        describe(config_of("m", kv_cache_memory_bytes=1), llm, texts_of(), {"tensor_bytes": 0})


@pytest.mark.parametrize(
    ("kind", "rows", "positions"),
    [("bert", 512, 512), ("roberta", 514, 512), ("mpnet", 514, 512), ("odd", None, None), ("odd", -1, None)],
)
def test_positions_are_those_that_tokens_can_have(kind: str, rows: int | None, positions: int | None) -> None:
    text = SimpleNamespace(model_type=kind, max_position_embeddings=rows, pad_token_id=1)
    assert _positions(SimpleNamespace(get_text_config=lambda: text)) == positions


class Slow(Vectors):
    """Answers when told to; the vector of a text is its own first token."""

    def __init__(self) -> None:
        model = SimpleNamespace(get_vocab_size=lambda: 100)
        super().__init__(SimpleNamespace(llm=SimpleNamespace(model_config=model)), normalize=True)  # type: ignore[arg-type]
        self.inside: dict[int, asyncio.Future[None]] = {}
        self.most = self.cancelled = 0

    async def _one(self, ids: Sequence[int]) -> list[float]:
        self.inside[ids[0]] = asyncio.get_running_loop().create_future()
        self.most = max(self.most, len(self.inside))
        try:
            await self.inside[ids[0]]
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            del self.inside[ids[0]]
        return [float(ids[0])]


async def started(slow: Slow, count: int, at_once: int) -> asyncio.Task[list[list[float]]]:
    call = asyncio.create_task(slow.of([[number] for number in range(count)], at_once))
    while len(slow.inside) < min(at_once, count):  # noqa: ASYNC110  each turn of the loop lets a worker go on
        await asyncio.sleep(0)
    return call


@pytest.mark.parametrize("at_once", [1, 3, 20])
async def test_vectors_come_in_order_however_the_engine_answers(at_once: int) -> None:
    slow = Slow()
    call = await started(slow, 10, at_once)
    while not call.done():
        if slow.inside:
            slow.inside[max(slow.inside)].set_result(None)
        await asyncio.sleep(0)
    assert await call == [[float(number)] for number in range(10)]
    assert slow.most == min(at_once, 10)


async def test_one_failure_takes_the_others_out_of_the_engine() -> None:
    slow = Slow()
    call = await started(slow, 10, 3)
    slow.inside[1].set_exception(BackendUnavailable("died"))
    with pytest.raises(BackendUnavailable, match="died"):
        await call
    assert (slow.inside, slow.cancelled) == ({}, 2)


async def test_a_cancelled_call_takes_its_texts_out_of_the_engine() -> None:
    slow = Slow()
    call = await started(slow, 10, 3)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (slow.inside, slow.cancelled) == ({}, 3)


@pytest.mark.parametrize(("prompts", "says"), [([[1], []], "no tokens"), ([[1], [5, 100]], "vocabulary")])
def test_what_the_engine_could_not_take_is_named(prompts: list[list[int]], says: str) -> None:
    with pytest.raises(InvalidRequest, match=says) as refused:
        Slow().check(prompts)
    assert refused.value.param == "texts[1]"
