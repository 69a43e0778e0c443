"""A lock between processes that dies with its holder."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sage_infer_contracts.errors import DeadlineExceeded

POLL_S = 0.1


@contextmanager
def exclusive(path: Path, *, deadline_s: float, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold an exclusive ``flock`` on ``path`` while the block runs.

    The kernel releases the lock when its holder dies, however it dies, so a lock never goes stale; the file
    itself stays. ``on_wait`` is called while another process holds it. Raises ``DeadlineExceeded`` after
    ``deadline_s``.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _acquire(descriptor, path, time.monotonic() + deadline_s, on_wait)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, path: Path, deadline: float, on_wait: Callable[[], None]) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise DeadlineExceeded(
                    f"another process still holds {path} and has not finished its build; "
                    "look for it (fuser or lsof on that file), end it and try again"
                ) from None
        on_wait()
        time.sleep(POLL_S)
