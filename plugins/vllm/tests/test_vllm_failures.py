"""What goes wrong is a documented error that says what to do, and never a hang; nothing of it is left running."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from vllm_backends import unstarted

from sage_infer_contracts.errors import (
    BackendUnavailable,
    CapacityExceeded,
    DeviceUnavailable,
    InvalidRequest,
    PluginIncompatible,
    SageInferError,
)
from sage_infer_contracts.kv import parse_kv_schema
from sage_infer_contracts.sampling import SamplingParams
from sage_infer_vllm import engine as engine_module

pytestmark = pytest.mark.engine
LONG = SamplingParams(max_tokens=1500, temperature=0.0, ignore_eos=True)
NOTICED_S = 15.0


def vllm_processes() -> list[psutil.Process]:
    """The engine's processes under this one."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "VLLM::" in child.name() or "VLLM::" in " ".join(child.cmdline()):
                found.append(child)
    return found


@contextlib.asynccontextmanager
async def started(model_path: str, **settings: Any) -> AsyncIterator[Any]:
    backend = unstarted(model_path, **settings)
    await backend.start()
    try:
        yield backend
    finally:
        await backend.close()


async def refused(backend: Any) -> SageInferError:
    """The error that start raises; the backend is failed then, holds no process, and closes."""
    with pytest.raises(SageInferError) as caught:
        await backend.start()
    health = await backend.health()
    assert health.state == "failed"
    assert str(caught.value) in (health.reason or "")
    assert vllm_processes() == []
    await backend.close()
    return caught.value


async def test_a_device_that_this_vllm_was_not_built_for(model_path: str) -> None:
    error = await refused(unstarted(model_path, device="acme"))
    assert isinstance(error, DeviceUnavailable)
    assert "runs on 'cpu'" in str(error)
    assert "install" in str(error)


async def test_a_version_outside_the_tested_window(model_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "installed_version", lambda: "0.99.0")
    error = await refused(unstarted(model_path))
    assert isinstance(error, PluginIncompatible)
    assert "allow_untested_version" in str(error)


async def test_an_engine_argument_that_does_not_exist(model_path: str) -> None:
    error = await refused(unstarted(model_path, {"vllm.no_such_thing": 1}))
    assert isinstance(error, InvalidRequest)
    assert error.param == "options.vllm.no_such_thing"


async def test_a_folder_without_a_model(tmp_path: Path) -> None:
    assert isinstance(await refused(unstarted(str(tmp_path))), InvalidRequest)
    assert isinstance(await refused(unstarted(str(tmp_path / "absent"))), InvalidRequest)


async def test_a_model_without_weights(model_path: str, tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        if (Path(model_path) / name).exists():
            shutil.copy(Path(model_path) / name, tmp_path)
    error = await refused(unstarted(str(tmp_path)))
    assert "weights" in str(error).lower()
    assert "see root cause" not in str(error).lower()


async def test_a_pool_that_holds_no_sequence(model_path: str) -> None:
    error = await refused(unstarted(model_path, kv_cache_memory_bytes=8_000_000))
    assert isinstance(error, CapacityExceeded)
    assert "kv_cache_memory_bytes" in str(error)


async def test_a_pool_that_no_memory_holds(model_path: str) -> None:
    error = await refused(unstarted(model_path, kv_cache_memory_bytes=2**46))
    assert isinstance(error, CapacityExceeded), error


async def test_a_kv_format_that_the_engine_turns_out_not_to_keep(model_path: str) -> None:
    asked = parse_kv_schema("dtype=fp8_e4m3,scale_granularity=token_head")
    error = await refused(unstarted(model_path, kv_schema=asked))
    assert isinstance(error, InvalidRequest)
    assert "scale_granularity: asked token_head, got tensor" in str(error)


@pytest.mark.parametrize("preset", ["fp32", "fp8"])
async def test_a_kv_format_is_honoured_to_the_field(model_path: str, preset: str) -> None:
    asked = parse_kv_schema(f"preset={preset},page_size=64")
    async with started(model_path, kv_schema=asked) as backend:
        schema, report = backend.get_kv_schema(), await backend._engine.kv_report()
        assert asked.mismatches(schema) == []
        assert schema.page_size == 64
        assert schema.block_bytes * report["num_blocks"] == report["tensor_bytes"]
        prefilled = await backend.prefill([[1] * 65], request_id="p", params=LONG)
        assert (await backend.stats()).blocks_held == 2
        await backend.release(prefilled.states[0])


@pytest.mark.parametrize("killed", ["EngineCore", "Worker"])
async def test_an_engine_process_killed_in_the_middle_of_streams(model_path: str, killed: str) -> None:
    async with started(model_path) as backend:
        prefilled = await backend.prefill(["Once upon a time"], request_id="parked", params=LONG)
        streams = await backend.generate(["Tell me a story"] * 10, LONG, request_id="s")
        async for _ in streams[0]:
            break
        (victim,) = [process for process in vllm_processes() if killed in " ".join(process.cmdline())]
        victim.kill()
        since = time.monotonic()
        async with asyncio.timeout(NOTICED_S):
            ends = await asyncio.gather(*(stream.collect() for stream in streams), return_exceptions=True)
        assert all(isinstance(end, BackendUnavailable) for end in ends), ends
        assert time.monotonic() - since < NOTICED_S
        health = await backend.health()
        assert health.state == "failed"
        assert "start" in (health.reason or "")
        for refusal in (
            backend.generate(["x"], LONG),
            backend.prefill(["x"], request_id="x"),
            backend.decode(prefilled.states[0], request_id="y"),
        ):
            with pytest.raises(BackendUnavailable):
                await refusal
        assert not await backend.cancel("s")
    assert vllm_processes() == []


async def test_close_fails_what_is_pending_and_a_fresh_backend_serves_again(model_path: str) -> None:
    backend = unstarted(model_path)
    with pytest.raises(BackendUnavailable):
        await backend.generate(["x"], LONG)
    await backend.start()
    streams = await backend.generate(["Tell me a story"] * 3, LONG)
    pending = asyncio.create_task(backend.prefill(["x"] * 12, request_id="p", params=LONG))
    async for _ in streams[0]:
        break
    await backend.close()
    await backend.close()
    ends = await asyncio.gather(*(stream.collect() for stream in streams), pending, return_exceptions=True)
    assert all(isinstance(end, BackendUnavailable) for end in ends[:3]), ends
    assert isinstance(ends[3], BackendUnavailable) or ends[3].states
    assert (await backend.health()).state == "closed"
    assert vllm_processes() == []
    with pytest.raises(BackendUnavailable, match="create a new one"):
        await backend.start()
    async with started(model_path) as fresh:
        (stream,) = await fresh.generate(
            ["The capital of France is"], LONG.model_copy(update={"max_tokens": 4})
        )
        assert len((await stream.collect()).token_ids) == 4


async def test_a_start_that_is_given_up_leaves_no_process(model_path: str) -> None:
    backend = unstarted(model_path)
    starting = asyncio.create_task(backend.start())
    async with asyncio.timeout(60):
        while not vllm_processes():  # noqa: ASYNC110  there is no event for the start of another process
            await asyncio.sleep(0.05)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await backend.close()
    assert vllm_processes() == []
