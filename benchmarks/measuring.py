"""Load on one arm of a comparison, and what it costs: times of each request, wall time, CPU time."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from statistics import median
from typing import Protocol

import attrs
import psutil

SETTLE_S = 1.5
"""Pause before each round: the workers of vLLM poll without sleeping for 1 s after their last step, and would take a
core from the next arm."""

Prompt = Sequence[int]
TOKEN_RANGE = (1000, 40000)
"""Ids that prompts are drawn from: ordinary tokens of the demo model, none of its special ones."""


@attrs.frozen
class RequestTimes:
    """One request as its consumer saw it, in seconds of a monotonic clock."""

    start_s: float
    first_s: float
    last_s: float
    tokens: int

    @property
    def ttft_s(self) -> float:
        """Time to first token."""
        return self.first_s - self.start_s

    @property
    def tpot_s(self) -> float:
        """Time per output token after the first."""
        return (self.last_s - self.first_s) / (self.tokens - 1)


@attrs.frozen
class Round:
    """One arm under one load: what is compared with the same load on the other arm."""

    requests: tuple[RequestTimes, ...]
    wall_s: float
    cpu_s: float

    @property
    def tokens(self) -> int:
        """Output tokens of all requests."""
        return sum(request.tokens for request in self.requests)

    @property
    def tokens_per_s(self) -> float:
        """Throughput."""
        return self.tokens / self.wall_s

    @property
    def ttft_ms(self) -> float:
        """Median time to first token."""
        return 1e3 * median(request.ttft_s for request in self.requests)

    @property
    def tpot_ms(self) -> float:
        """Median time per output token."""
        return 1e3 * median(request.tpot_s for request in self.requests)

    @property
    def cpu_ms_per_token(self) -> float:
        """CPU time of the arm's processes per output token."""
        return 1e3 * self.cpu_s / self.tokens


Ask = Callable[[Prompt], Awaitable[RequestTimes]]
"""Sends one prompt and reads its output to the end."""


class Arm(Protocol):
    """One of the two things compared."""

    @property
    def name(self) -> str:
        """What tables call it."""
        ...

    def cpu_s(self) -> float:
        """CPU seconds that the arm's processes have used; never falls."""
        ...

    def client(self) -> AbstractAsyncContextManager[Ask]:
        """Open one client; it sends one request at a time."""
        ...


class TreeCpu:
    """User and system CPU seconds of a process and all its descendants. A process that ended keeps its share."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._seen_s: dict[int, float] = {}

    def read_s(self) -> float:
        """Return the sum so far."""
        for process in (self._root, *self._root.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                self._seen_s[process.pid] = times.user + times.system
        return sum(self._seen_s.values())


class PromptSource:
    """Prompts of random token ids from a seed. All differ, so that a prefix cache helps nobody."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def take(self, count: int, length_tokens: int) -> list[list[int]]:
        """Return ``count`` new prompts of one length."""
        return [[self._random.randrange(*TOKEN_RANGE) for _ in range(length_tokens)] for _ in range(count)]


async def run_round(arm: Arm, prompts: Sequence[Prompt], concurrency: int) -> Round:
    """Send ``prompts`` from ``concurrency`` clients, each its next when its last is answered."""
    waiting = deque(prompts)
    done: list[RequestTimes] = []

    async def work(ask: Ask) -> None:
        while waiting:
            done.append(await ask(waiting.popleft()))

    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(arm.client()) for _ in range(concurrency)]
        gc.collect()
        await asyncio.sleep(SETTLE_S)
        cpu_before_s, start_s = arm.cpu_s(), time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for ask in clients:
                group.create_task(work(ask))
        wall_s = time.perf_counter() - start_s
        return Round(tuple(done), wall_s, arm.cpu_s() - cpu_before_s)


def progress(text: str) -> None:
    """Say on stderr what is going on; stdout is for the result."""
    print(text, file=sys.stderr, flush=True)
