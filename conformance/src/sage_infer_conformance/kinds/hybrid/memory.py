"""What this process and its children really hold, and the most they held for a while."""

from __future__ import annotations

import contextlib
import re
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from .steps import Memory

_SAMPLE_S = 0.002
_CHILDREN_EVERY = 50
_HIGH_WATER = re.compile(r"VmHWM:\s+(\d+) kB")


class MemoryWatch:
    """Watches resident memory while its block runs.

    The kernel's own high-water mark of this process is used where it can be reset; a thread samples in any case, and
    sees children too.
    """

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._children: list[psutil.Process] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="memory-watch", daemon=True)
        self._before = self._peak = self._after = 0

    @property
    def memory(self) -> Memory:
        """What was found, once the block has ended."""
        return Memory(before=self._before, peak=self._peak, after=self._after)

    def __enter__(self) -> Self:
        self._marks = _reset_high_water()
        self._before = self._peak = resident_bytes()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._after = resident_bytes()
        self._peak = max(self._peak, self._after, _high_water() if self._marks else 0)

    def _sample(self) -> None:
        number = 0
        while not self._over.wait(_SAMPLE_S):
            if number % _CHILDREN_EVERY == 0:
                self._children = self._process.children(recursive=True)
            number += 1
            self._peak = max(self._peak, self._process.memory_info().rss + sum(map(_rss, self._children)))


def resident_bytes() -> int:
    """Return the resident memory of this process and all below it."""
    process = psutil.Process()
    return int(process.memory_info().rss + sum(map(_rss, process.children(recursive=True))))


def _rss(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def _reset_high_water() -> bool:
    """Begin anew with the kernel's high-water mark; False where it does not offer that."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return _high_water() > 0


def _high_water() -> int:
    with contextlib.suppress(OSError):
        found = _HIGH_WATER.search(Path("/proc/self/status").read_text())
        if found is not None:
            return int(found[1]) * 1024
    return 0
