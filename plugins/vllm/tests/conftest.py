"""Fixtures of the adapter's tests: the real model, one started engine per module."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from demo_models import demo_folder

from sage_infer_contracts.backend import BackendConfig, ModelLocation
from sage_infer_contracts.launch import BackendContext
from sage_infer_vllm.plugin import create

KV_BYTES = 1 << 30
SMALL = {
    "max_sequence_length": 2048,
    "max_batch_size": 8,
    "max_waiting_requests": 40,
    "kv_cache_memory_bytes": KV_BYTES,
}
QUICK = {"enforce_eager": True}


@pytest.fixture(scope="session")
def model_path() -> str:
    """The folder of the real language model."""
    return demo_folder()


def unstarted(model_path: str, options: dict[str, Any] | None = None, **settings: Any) -> Any:
    """A backend that has not been started."""
    config = BackendConfig(
        model=ModelLocation(model_id="demo", path=model_path),
        options={**QUICK, **(options or {})},
        **{**SMALL, **settings},
    )
    return create(config, BackendContext())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def backend(model_path: str) -> AsyncIterator[Any]:
    """One engine for all tests of a module: it takes half a minute to start."""
    started = unstarted(model_path)
    await started.start()
    try:
        yield started
    finally:
        await started.close()
