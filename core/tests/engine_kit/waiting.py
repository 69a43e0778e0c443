"""Waiting for a state of another process that can only be asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

POLL_S = 0.01


async def until(holds: Callable[[], Awaitable[bool]], *, deadline_s: float = 30.0) -> None:
    """Return as soon as ``holds`` says so; raises TimeoutError at the deadline."""
    async with asyncio.timeout(deadline_s):
        while not await holds():  # noqa: ASYNC110  there is no event for what another process does
            await asyncio.sleep(POLL_S)
