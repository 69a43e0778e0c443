"""A backend starts, refuses and ends cleanly."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from sage_infer_contracts.backend import BackendConfig, InferenceBackend, ModelLocation
from sage_infer_contracts.capabilities import Capability
from sage_infer_contracts.errors import (
    BackendUnavailable,
    CapacityExceeded,
    DeviceUnavailable,
    InvalidRequest,
    Unsupported,
)
from sage_infer_contracts.kv import KVSchemaRequest
from sage_infer_contracts.launch import BackendContext
from sage_infer_contracts.membership import missing_members
from sage_infer_contracts.sampling import SamplingParams
from sage_infer_torch.plugin import create

GREEDY = SamplingParams(max_tokens=200, temperature=0.0, ignore_eos=True)


def made(path: str = "/nowhere", **settings: Any) -> Any:
    return create(BackendConfig(model=ModelLocation(model_id="m", path=path), **settings), BackendContext())


def test_creating_a_backend_imports_no_framework() -> None:
    code = (
        "import sys, sage_infer_torch.plugin as p, sage_infer_torch.device_cpu as d\n"
        "from sage_infer_contracts.backend import BackendConfig, ModelLocation\n"
        "from sage_infer_contracts.launch import BackendContext\n"
        "heavy = {'torch', 'transformers', 'numpy'}\n"
        "assert not heavy & set(sys.modules), 'imported by the entry module'\n"
        "d.CpuRuntime()\n"
        "p.create(BackendConfig(model=ModelLocation(model_id='m', path='x')), BackendContext())\n"
        "assert not heavy & set(sys.modules), 'imported by create'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_backend_has_every_member_of_the_contract() -> None:
    assert not missing_members(made(), InferenceBackend)


def test_unknown_and_wrong_options_are_refused_by_name() -> None:
    with pytest.raises(InvalidRequest, match=r"'blocksize' is unknown.*block_size"):
        made(options={"blocksize": 16})
    with pytest.raises(InvalidRequest, match="block_size"):
        made(options={"block_size": 0})


def test_tensor_parallelism_is_refused() -> None:
    with pytest.raises(Unsupported, match="tensor_parallel_size 2") as refused:
        made(tensor_parallel_size=2)
    assert refused.value.capability == Capability.BACKEND_TENSOR_PARALLEL


def test_a_device_without_a_runtime_is_refused() -> None:
    with pytest.raises(DeviceUnavailable, match="acme"):
        made(device="acme")


async def test_before_start_everything_is_unavailable() -> None:
    backend = made()
    assert (await backend.health()).state == "created"
    assert (await backend.stats()).blocks_total == 0
    for call in (backend.get_capability, backend.get_kv_schema, lambda: backend.tokenizer):
        with pytest.raises(BackendUnavailable, match="created"):
            call()
    with pytest.raises(BackendUnavailable):
        await backend.generate(["x"], GREEDY)
    assert not await backend.cancel("x")
    await backend.close()
    await backend.close()


@pytest.mark.engine
async def test_a_folder_without_a_model_is_refused_and_leaves_no_thread(tmp_path: Any) -> None:
    backend = made(str(tmp_path))
    with pytest.raises(InvalidRequest, match=r"config\.json"):
        await backend.start()
    assert (await backend.health()).state == "failed"
    assert engine_threads() == []
    await backend.close()


@pytest.mark.engine
@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"dtype": "fp8_e4m3"}, InvalidRequest, "fp8_e4m3"),
        ({"device_ids": (1,)}, DeviceUnavailable, "1"),
        ({"max_sequence_length": 9000}, InvalidRequest, "8192"),
        ({"kv_cache_memory_bytes": 1000}, CapacityExceeded, "no block"),
        ({"kv_cache_memory_bytes": 2**50}, CapacityExceeded, "free"),
        (
            {"kv_cache_memory_bytes": 2**20, "max_sequence_length": 4096},
            InvalidRequest,
            "kv_cache_memory_bytes",
        ),
        ({"kv_schema": KVSchemaRequest(dtype="fp16")}, Unsupported, "dtype: asked fp16, got fp32"),
    ],
)
async def test_settings_that_cannot_be_honoured_are_refused_at_start(
    model_path: str, settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    backend = made(model_path, **settings)
    with pytest.raises(error, match=message):
        await backend.start()
    assert engine_threads() == []


@pytest.mark.engine
async def test_a_requested_page_size_is_honoured(open_backend: Callable[..., Any], model_path: str) -> None:
    request = KVSchemaRequest(dtype="fp32", page_size=8)
    async with open_backend(
        model_path, kv_schema=request, max_sequence_length=128, max_batch_size=2
    ) as backend:
        assert backend.get_kv_schema().page_size == 8


@pytest.mark.engine
async def test_close_fails_what_is_pending_and_leaves_nothing(model_path: str) -> None:
    backend = made(model_path, max_sequence_length=256, max_batch_size=2)
    await backend.start()
    streams = await backend.generate(["Once upon a time"] * 3, GREEDY)
    prefill = asyncio.ensure_future(backend.prefill(["The moon"], request_id="p", params=GREEDY))
    await anext(streams[0])
    await backend.close()
    for stream in streams:
        with pytest.raises(BackendUnavailable, match="closed"):
            await stream.collect()
    with pytest.raises(BackendUnavailable):
        await prefill
    await backend.close()
    assert (await backend.health()).state == "closed"
    assert engine_threads() == []
    with pytest.raises(BackendUnavailable, match="closed"):
        await backend.generate(["x"], GREEDY)
    with pytest.raises(BackendUnavailable, match="closed"):
        await backend.start()


@pytest.mark.engine
async def test_an_engine_that_keeps_failing_says_so_and_fails_everything(
    model_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = made(model_path, max_sequence_length=256, max_batch_size=2)
    await backend.start()
    core = backend._engine._thread.started.result()

    def broken(batch: Any) -> Any:
        raise RuntimeError("device lost")

    monkeypatch.setattr(type(core.model), "forward", lambda self, batch: broken(batch))
    streams = await backend.generate(["Once upon a time"] * 8, GREEDY)
    for stream in streams:
        with pytest.raises(BackendUnavailable, match="device lost"):
            await stream.collect()
    health = await backend.health()
    assert health.state == "failed"
    assert health.reason is not None
    assert "device lost" in health.reason
    with pytest.raises(BackendUnavailable, match="device lost"):
        await backend.generate(["x"], GREEDY)
    await backend.close()


def engine_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("sage-infer")]
