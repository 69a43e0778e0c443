"""Asks a backend how it is, within a deadline."""

from __future__ import annotations

import asyncio
from typing import Protocol

from sage_infer_contracts.backend import BackendHealth, BackendStats

from .types import InstanceState

HEALTH_DEADLINE_S = 10.0
STATS_DEADLINE_S = 2.0


class Observed(Protocol):
    """The part of a backend that is asked how it is."""

    async def health(self) -> BackendHealth:
        """Say whether requests are served."""
        ...

    async def stats(self) -> BackendStats:
        """Return counters and gauges."""
        ...


async def check_health(backend: Observed, *, before: InstanceState) -> tuple[InstanceState, str | None]:
    """Return the state ``backend`` is in now, and why.

    One missed deadline makes an instance suspect, a second one in a row failed: a busy machine is not a dead one.
    """
    try:
        async with asyncio.timeout(HEALTH_DEADLINE_S):
            health = await backend.health()
    except TimeoutError:
        state: InstanceState = "suspect" if before == "ready" else "failed"
        return state, f"gave no answer within {HEALTH_DEADLINE_S:g} s"
    except Exception as error:  # noqa: BLE001  a plugin boundary: health() never raises by contract, a broken one may
        return "failed", f"its health check failed: {type(error).__name__}: {error}"
    if health.state == "ready":
        return "ready", None
    if health.state in ("created", "starting"):
        return "suspect", health.reason or f"is {health.state}"
    return "failed", health.reason or f"is {health.state}"


async def read_stats(backend: Observed) -> BackendStats | Exception:
    """Return the backend's figures, or why it gives none in time: absent is not zero."""
    try:
        async with asyncio.timeout(STATS_DEADLINE_S):
            return await backend.stats()
    except Exception as error:  # noqa: BLE001  a plugin boundary: one broken backend must not fail a metrics scrape
        return error
