"""Closes an instance under observation: pending streams, a second close, what is left."""

from __future__ import annotations

import asyncio
import threading

import attrs
import psutil

from sage_infer_contracts.backend import InferenceBackend
from sage_infer_contracts.sampling import SamplingParams

from ...history.steps import Raised
from .asks import Call
from .findings import Closing, Outcome
from .prompts import Prompts
from .serving import Serving
from .waiting import within

CLOSE_S = 20.0
"""Until a close must have returned, and every pending stream must have ended."""
_THREAD_S = 1.0


@attrs.define(slots=True)
class Possessions:
    """Threads, children and descriptors of this process before an instance was made."""

    threads: frozenset[int | None]
    children: frozenset[int]

    @classmethod
    def now(cls) -> Possessions:
        """Look."""
        children = psutil.Process().children(recursive=True)
        return cls(
            frozenset(t.ident for t in threading.enumerate()), frozenset(child.pid for child in children)
        )

    def more_threads(self) -> tuple[str, ...]:
        """Return the names of threads that are here now, were not then, and do not end within a second."""
        fresh = [thread for thread in threading.enumerate() if thread.ident not in self.threads]
        for thread in fresh:
            thread.join(timeout=_THREAD_S)
        return tuple(sorted(thread.name for thread in fresh if thread.is_alive()))

    def more_children(self) -> int:
        """Return how many child processes are here now and were not then."""
        return sum(child.pid not in self.children for child in psutil.Process().children(recursive=True))


def open_files() -> int:
    """Return the number of descriptors of this process."""
    count: int = psutil.Process().num_fds()
    return count


async def close_watched(
    backend: InferenceBackend,
    prompts: Prompts,
    pending: tuple[Call, ...],
    before: Possessions,
    *,
    at_once: bool,
) -> Closing:
    """Begin ``pending``, close twice, and say what came of it."""
    serving = Serving(backend, prompts)
    for call in pending:
        await serving.begin(call)
    closes = 2 if at_once else 1
    tasks = [asyncio.ensure_future(backend.close()) for _ in range(closes)]
    _, open_still = await asyncio.wait(tasks, timeout=CLOSE_S)
    hung = bool(open_still)
    errors = [_error(task) for task in tasks]
    if not at_once and not hung:
        again = asyncio.ensure_future(backend.close())
        _, open_still = await asyncio.wait([again], timeout=CLOSE_S)
        hung = bool(open_still)
        errors.append(_error(again))
    await serving.read_all(CLOSE_S if pending else 0.0)
    return Closing(
        second=next(filter(None, reversed(errors)), None),
        hung=hung,
        pending=tuple(_ended(outcome) for outcome in await serving.outcomes(decode=False)),
        health=(await backend.health()).state,
        refused=await _refusal(backend),
        threads=before.more_threads(),
        child_processes=before.more_children(),
    )


def _ended(outcome: Outcome) -> Outcome:
    return outcome.model_copy(update={"deltas": outcome.deltas[-2:], "prompt_ids": ()})


def _error(task: asyncio.Future[None]) -> Raised | None:
    if not task.done():
        task.cancel()
        return None
    error = task.exception()
    return Raised.of(error) if error is not None else None


async def _refusal(backend: InferenceBackend) -> Raised | None:
    try:
        coroutine = backend.generate([[1, 2, 3]], SamplingParams(max_tokens=1), request_id="after-close")
        await within(coroutine, CLOSE_S)
    except Exception as error:  # noqa: BLE001 - whatever the subject raises is what is recorded
        return Raised.of(error)
    return None
