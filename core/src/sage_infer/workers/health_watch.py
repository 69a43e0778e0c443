"""Notices in the worker that its backend failed: an engine may die in a process of its own and leave us alive."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from sage_infer_contracts.backend import BackendHealth

CHECK_INTERVAL_S = 1.0
CHECK_DEADLINE_S = 10.0
BROKEN_CHECKS = 3
"""health() never raises by contract. One that raises this often in a row will hardly say ``failed`` any more."""

_log = logging.getLogger(__name__)


class Watched(Protocol):
    """The part of a backend that is watched."""

    async def health(self) -> BackendHealth:
        """Say whether requests are served."""
        ...


async def until_failed(backend: Watched) -> str:
    """Return why ``backend`` failed, as soon as it says so or its health check has broken several times in a row.

    A check that gives no answer is no verdict: a busy backend is not a dead one. It is logged once.
    """
    broken, silent = 0, False
    while True:
        await asyncio.sleep(CHECK_INTERVAL_S)
        try:
            reason = await _failure(backend)
        except TimeoutError:
            if not silent:
                _log.warning("the backend's health check gave no answer within %g s", CHECK_DEADLINE_S)
            silent = True
            continue
        except Exception as error:  # noqa: BLE001  a plugin boundary: whatever it raises, the watch goes on
            broken += 1
            if broken == 1:
                _log.warning("the backend's health check raised", exc_info=True)
            if broken == BROKEN_CHECKS:
                return f"its health check keeps failing: {type(error).__name__}: {error}"
            continue
        if reason is not None:
            return reason
        broken, silent = 0, False


async def _failure(backend: Watched) -> str | None:
    async with asyncio.timeout(CHECK_DEADLINE_S):
        health = await backend.health()
    return (health.reason or "it gave no reason") if health.state == "failed" else None
