"""Fixtures of the adapter's tests: the real model, one started engine per module."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from demo_models import demo_folder
from vllm_backends import unstarted


@pytest.fixture(scope="session")
def model_path() -> str:
    """The folder of the real language model."""
    return demo_folder()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def backend(model_path: str) -> AsyncIterator[Any]:
    """One engine for all tests of a module: it takes half a minute to start."""
    started = unstarted(model_path)
    await started.start()
    try:
        yield started
    finally:
        await started.close()
