"""Exported KV goes on elsewhere with the same tokens, or is refused and nothing is lost or held (IB-07)."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from test_torch_models import GQA

from sage_infer_contracts.errors import (
    BackendUnavailable,
    CapacityExceeded,
    IntegrityError,
    InvalidRequest,
    SageInferError,
)
from sage_infer_contracts.sampling import SamplingParams
from sage_infer_torch import kv_files

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="module")]
GREEDY = SamplingParams(max_tokens=20, temperature=0.0, ignore_eos=True)
SAMPLED = SamplingParams(max_tokens=20, seed=3, repetition_penalty=1.3, logit_bias={7: 2.0}, ignore_eos=True)
BLOCKS = 24


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engines(open_backend: Callable[..., Any], tiny_model: Callable[..., str]) -> AsyncIterator[Any]:
    """Two engines with the same model and small pools: one that exports, one that imports."""
    from transformers import LlamaConfig

    folder = tiny_model(LlamaConfig(**GQA))
    settings = {"max_batch_size": 4, "max_sequence_length": 128, "kv_cache_memory_bytes": BLOCKS * 16 * 768}
    async with open_backend(folder, **settings) as here, open_backend(folder, **settings) as there:
        yield here, there


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def nothing_is_held(engines: Any) -> AsyncIterator[None]:
    """Every test gives back all blocks of both."""
    yield
    for backend in engines:
        await backend._engine.ask(lambda core: core.blocks.check_integrity())
        assert (await backend.stats()).blocks_held == 0


async def parked(backend: Any, length: int, params: SamplingParams = GREEDY) -> tuple[tuple[int, ...], Any]:
    """The first tokens, and the state, of a prompt of ``length`` tokens."""
    prompt = [(index * 31 + length) % 40_000 for index in range(length)]
    result = await backend.prefill([prompt], request_id=f"p{length}", params=params)
    (one,) = result.sequences
    return one.first.token_ids, one.state


async def decoded(backend: Any, state: Any) -> tuple[int, ...]:
    result = await backend.decode(state, request_id="d")
    return tuple((await result.stream.collect()).token_ids)


@pytest.mark.parametrize("place", ["file", "shm"])
@pytest.mark.parametrize("params", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize("length", [1, 15, 16, 17, 49])
async def test_decode_goes_on_elsewhere_with_the_same_tokens(
    engines: Any, length: int, params: SamplingParams, place: str, tmp_path: Path
) -> None:
    here, there = engines
    first, state = await parked(here, length, params)
    location = (tmp_path / "kv").as_uri() if place == "file" else f"shm://sage-{uuid.uuid4().hex}"
    export = await here.export_kv(state, location)
    assert (await here.stats()).blocks_held == 0, "what was exported is not here any more"
    assert export.num_bytes == -(-length // 16) * here.get_kv_schema().block_bytes
    before = (await there.stats()).computed_tokens
    rest = await decoded(there, await there.import_kv(export, state))
    assert (await there.stats()).computed_tokens == before, "nothing of the prompt is computed again"
    (whole,) = await here.generate([list(state.prompt_token_ids)], params)
    assert (*first, *rest) == (await whole.collect()).token_ids
    assert kv_files.path_of(location).exists() == (place == "file")


async def test_what_is_imported_is_not_shared_with_others(engines: Any, tmp_path: Path) -> None:
    here, there = engines
    _, state = await parked(here, 40)
    imported = await there.import_kv(await here.export_kv(state, (tmp_path / "kv").as_uri()), state)
    await decoded(there, imported)
    before = (await there.stats()).reused_tokens
    (stream,) = await there.generate([list(state.prompt_token_ids)], GREEDY)
    await stream.collect()
    assert (await there.stats()).reused_tokens == before


async def test_what_another_request_left_in_a_block_is_not_exported(engines: Any, tmp_path: Path) -> None:
    here, _ = engines
    for salt in range(3):
        (stream,) = await here.generate([[salt + 5] * 100], GREEDY)
        await stream.collect()
    _, state = await parked(here, 17)
    await here.export_kv(state, (tmp_path / "kv").as_uri())
    schema = here.get_kv_schema()
    pages = memoryview((tmp_path / "kv").read_bytes()).cast("B", (6, 2, 16, schema.block_bytes // 96))
    for page in range(6):
        assert any(pages[page, 1, 0, at] for at in range(64))
        assert not any(pages[page, 1, token, at] for token in range(1, 16) for at in range(64))


async def test_a_failed_export_leaves_the_state_as_it_was(engines: Any, tmp_path: Path) -> None:
    here, _ = engines
    first, state = await parked(here, 20)
    (tmp_path / "kv").write_text("somebody's")
    for location in (
        (tmp_path / "kv").as_uri(), (tmp_path / "no" / "kv").as_uri(), "http://host/kv", "shm://a/b", "file:kv",
    ):  # fmt: skip
        with pytest.raises(InvalidRequest) as refused:
            await here.export_kv(state, location)
        assert refused.value.param == "location"
    assert (tmp_path / "kv").read_text() == "somebody's"
    rest = await decoded(here, state)
    assert len(first) + len(rest) == 20


async def test_a_state_used_while_it_is_exported_goes_to_one_of_the_two(engines: Any, tmp_path: Path) -> None:
    here, _ = engines
    _, state = await parked(here, 20)
    exporting = asyncio.ensure_future(here.export_kv(state, (tmp_path / "kv").as_uri()))
    await asyncio.sleep(0)
    rest = await decoded(here, state)
    with pytest.raises(InvalidRequest, match="lease is over"):
        await exporting
    assert len(rest) == 19
    assert not (tmp_path / "kv").exists()


async def test_an_import_that_a_close_overtakes_ends_with_an_error(
    engines: Any, open_backend: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = engines
    _, state = await parked(here, 20)
    export = await here.export_kv(state, (tmp_path / "kv").as_uri())
    reading, go_on, read = asyncio.Event(), threading.Event(), kv_files.read
    loop, before = asyncio.get_running_loop(), threading.active_count()

    def waiting(*arguments: Any, **settings: Any) -> bytearray:
        loop.call_soon_threadsafe(reading.set)
        go_on.wait()
        return read(*arguments, **settings)

    monkeypatch.setattr(kv_files, "read", waiting)
    async with open_backend(there.config.model.path, max_sequence_length=128) as third:
        importing = asyncio.ensure_future(third.import_kv(export, state))
        await reading.wait()
        closing = asyncio.ensure_future(third.close())
        while third._engine is not None:  # noqa: ASYNC110  the first thing that a close does
            await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(BackendUnavailable):
            await importing
        await closing
    assert threading.active_count() == before


def flipped(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:]


@pytest.mark.parametrize(
    ("data", "receipt", "state"),
    [
        (flipped, {}, {}),
        (lambda data: data[:-1], {}, {}),
        (lambda data: data, {"schema_fingerprint": "0" * 64}, {}),
        (lambda data: data, {"num_tokens": 19}, {}),
        (lambda data: data, {"num_bytes": 1}, {}),
        (lambda data: data, {"location": "file:///nowhere/kv"}, {}),
        (lambda data: data, {}, {"prompt_token_ids": tuple(range(20))}),
        (lambda data: data, {}, {"prompt_token_ids": tuple(range(21))}),
    ],
)
async def test_what_differs_from_the_receipt_is_refused(
    engines: Any,
    tmp_path: Path,
    data: Callable[[bytes], bytes],
    receipt: dict[str, Any],
    state: dict[str, Any],
) -> None:
    here, there = engines
    _, held = await parked(here, 20)
    export = await here.export_kv(held, (tmp_path / "kv").as_uri())
    (tmp_path / "kv").write_bytes(data((tmp_path / "kv").read_bytes()))
    with pytest.raises(IntegrityError):
        await there.import_kv(export.model_copy(update=receipt), held.model_copy(update=state))
    assert (await there.stats()).blocks_held == 0


async def test_a_pool_without_room_refuses_the_import_and_takes_it_later(
    engines: Any, tmp_path: Path
) -> None:
    here, there = engines
    first, state = await parked(here, 40)
    export = await here.export_kv(state, (tmp_path / "kv").as_uri())
    others = [(await parked(there, length))[1] for length in (100, 101, 102, 20)]
    with pytest.raises(CapacityExceeded):
        await there.import_kv(export, state)
    for other in others:
        await there.release(other)
    rest = await decoded(there, await there.import_kv(export, state))
    assert len(first) + len(rest) == 20


async def test_a_state_that_cannot_be_is_refused(engines: Any, tmp_path: Path) -> None:
    here, there = engines
    _, state = await parked(here, 20)
    export = await here.export_kv(state, (tmp_path / "kv").as_uri())
    for wrong in (
        {"rng": state.rng.model_copy(update={"draws": 4})},
        {"output_token_ids": (99_999,)},
        {"params": GREEDY.model_copy(update={"max_tokens": 1000})},
    ):
        with pytest.raises(SageInferError):
            await there.import_kv(export, state.model_copy(update=wrong))
