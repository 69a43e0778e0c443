"""How long anything may take, and waiting until all has settled."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import TypeVar

from sage_infer_contracts.backend import BackendStats, InferenceBackend

STALL_S = 60.0
"""Longest wait for the next token of a stream, or for a call to return."""
SETTLE_S = 3.0
"""Longest wait for counters and blocks once everything has ended."""
START_S = 240.0
"""Longest start: a model is loaded, and perhaps compiled."""
MEMORY_LIMIT_BYTES = 24 * 1024**3
"""What the process with the instance may grow to; a model of a few billion parameters fits."""
T = TypeVar("T")


async def within(call: Awaitable[T], seconds: float = STALL_S) -> T:
    """Return what ``call`` returns; raises ``TimeoutError`` after ``seconds``."""
    return await asyncio.wait_for(call, seconds)


async def settled(
    backend: InferenceBackend, before: BackendStats, *, prompt_tokens: int = 0, held: int | None = None
) -> BackendStats:
    """Return the counters once nothing runs, blocks are back and ``prompt_tokens`` more are accounted for.

    After :data:`SETTLE_S` they are returned as they are.
    """
    until = time.monotonic() + SETTLE_S
    wanted_held = before.blocks_held if held is None else held
    while True:
        stats = await backend.stats()
        counted = stats.computed_tokens + stats.reused_tokens - before.computed_tokens - before.reused_tokens
        idle = not stats.running and not stats.waiting and stats.blocks_held <= wanted_held
        if (idle and counted >= prompt_tokens) or time.monotonic() > until:
            return stats
        await asyncio.sleep(0.001)
