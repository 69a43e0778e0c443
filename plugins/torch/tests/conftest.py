"""Fixtures of the native engine's tests: the real model, its reference outputs, started backends."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from demo_models import demo_folder

from sage_infer_contracts.backend import BackendConfig, ModelLocation
from sage_infer_contracts.launch import BackendContext
from sage_infer_torch.plugin import create


@pytest.fixture(scope="session")
def model_path() -> str:
    """The folder of the real model."""
    return demo_folder()


@pytest.fixture(scope="session")
def reference(model_path: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """transformers' own greedy outputs, which the workers of one run compute once between them."""
    from torch_reference import Reference

    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    shared = tmp_path_factory.getbasetemp().parent / f"reference-{run}.json"
    return Reference(model_path, shared if run else None)


OpenBackend = Callable[..., Any]


@asynccontextmanager
async def _opened(path: str, options: dict[str, Any] | None = None, **settings: Any) -> AsyncIterator[Any]:
    config = BackendConfig(model=ModelLocation(model_id="demo", path=path), options=options or {}, **settings)
    backend: Any = create(config, BackendContext())
    await backend.start()
    try:
        yield backend
    finally:
        await backend.close()


@pytest.fixture(scope="session")
def open_backend() -> OpenBackend:
    """``async with open_backend(path, options, **settings) as backend``."""
    return _opened


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory, model_path: str) -> Callable[..., str]:
    """Save a small random model of a transformers configuration with the real tokenizer; returns its folder."""

    def save(config: Any) -> str:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        torch.manual_seed(0)
        folder = str(tmp_path_factory.mktemp(type(config).__name__))
        AutoModelForCausalLM.from_config(config).float().save_pretrained(folder)
        AutoTokenizer.from_pretrained(model_path).save_pretrained(folder)
        return folder

    return save
