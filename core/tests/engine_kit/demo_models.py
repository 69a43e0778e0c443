"""The real models of the demo plugin, for tests of engines."""

from __future__ import annotations

import os
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from sage_infer_contracts.models import ModelRequest


def demo_folder(name: str = "demo") -> str:
    """The folder of a demo model: ``SAGE_INFER_TEST_MODEL``, or the one that its source keeps in the cache."""
    given = os.environ.get("SAGE_INFER_TEST_MODEL") if name == "demo" else None
    if given:
        return given
    for entry in entry_points(group="sage_infer.model_source.v1", name=name):
        cache = Path(os.environ.get("SAGE_INFER_CACHE") or Path.home() / ".cache" / "sage-infer")
        cache.mkdir(parents=True, exist_ok=True)
        return str(entry.load()().resolve(ModelRequest(name, cache)).path)
    pytest.skip("no model: set SAGE_INFER_TEST_MODEL to a folder, or install sage-infer-demo")
