"""The collector rests while source is parsed, or a finalizer that raises breaks the import half-way on CPython 3.11."""

from __future__ import annotations

import ast
import gc
import sys
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

from sage_infer_vllm.importing import collector_paused

SOURCE = "\n".join(
    f"def f{number}(a, b=1):\n    return [x + {number} for x in a if x]" for number in range(200)
)


class Doomed:
    """Garbage in a cycle, with a finalizer that raises."""

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        raise RuntimeError("the finalizer fails")


@pytest.fixture
def tracebacks_are_formatted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def hook(unraisable: Any) -> None:
        traceback.format_exception(unraisable.exc_type, unraisable.exc_value, unraisable.exc_traceback)

    with monkeypatch.context() as patch:
        patch.setattr(sys, "unraisablehook", hook)
        yield
        gc.collect()


@pytest.mark.usefixtures("tracebacks_are_formatted")
def test_parsing_survives_garbage_that_fails() -> None:
    for _ in range(20):
        for _ in range(200):
            Doomed()
        with collector_paused():
            ast.parse(SOURCE)


def test_the_collector_is_left_as_it_was() -> None:
    with collector_paused():
        assert not gc.isenabled()
        with collector_paused():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ImportError), collector_paused():
        raise ImportError
    assert gc.isenabled()
