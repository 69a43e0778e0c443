"""Importing vLLM and its libraries safely."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """Keep the cyclic garbage collector from running in the block.

    vLLM parses its own source while it is imported. In CPython 3.11 ``ast.parse`` fails with ``SystemError`` when a
    finalizer that raises is collected meanwhile and its traceback is formatted, which parses too
    (https://github.com/python/cpython/issues/106905). The import breaks half-way then, and cannot be repeated.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
