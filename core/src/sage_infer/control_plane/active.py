"""Requests under way, from admission until the last backend has let go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from sage_infer_contracts.errors import SageInferError

from .jobs import Job
from .types import RequestMetadata


class ActiveRequest:
    """One admitted request: its jobs, and what reaches all of them."""

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        self.timer: asyncio.TimerHandle | None = None
        self.jobs: Sequence[Job[Any]] = ()
        self.open_jobs = 0
        self._cancel_job: Callable[[Any], None] = _nothing
        self._deliver_error: Callable[[SageInferError], None] = _nothing

    def bind(
        self,
        jobs: Sequence[Job[Any]],
        *,
        cancel_job: Callable[[Any], None],
        deliver_error: Callable[[SageInferError], None],
    ) -> None:
        """Say which jobs do the work, how one is cancelled, and how the caller hears of an error."""
        self.jobs, self.open_jobs = jobs, len(jobs)
        self._cancel_job, self._deliver_error = cancel_job, deliver_error

    def cancel(self) -> None:
        """Give every job up."""
        for job in self.jobs:
            if not job.metadata.status.final:
                self._cancel_job(job)

    def fail(self, error: SageInferError) -> None:
        """Tell the caller of ``error`` at once, count it, and give every job up."""
        self._deliver_error(error)
        for job in self.jobs:
            job.record_failure(error)
        self.cancel()


def _nothing(_: object) -> None:
    """Stand in until a request is bound to its jobs."""


class ActiveRequests:
    """The table of requests under way. Owned by one event loop."""

    def __init__(self) -> None:
        self._table: dict[str, ActiveRequest] = {}
        self._preparing = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._table

    def __len__(self) -> int:
        return len(self._table) + self._preparing

    def get(self, request_id: str) -> ActiveRequest | None:
        """Return a request under way, or None."""
        return self._table.get(request_id)

    def all(self) -> list[ActiveRequest]:
        """Return the requests under way."""
        return list(self._table.values())

    def metadata(self) -> tuple[RequestMetadata, ...]:
        """Return copies of what is known of each sequence under way."""
        return tuple(attrs.evolve(job.metadata) for active in self._table.values() for job in active.jobs)

    def prepare(self) -> None:
        """A request is being read or tokenised; :meth:`prepared` must follow."""
        self._preparing += 1
        self._idle.clear()

    def prepared(self) -> None:
        """End what :meth:`prepare` began."""
        self._preparing -= 1
        self._settle()

    def add(self, active: ActiveRequest) -> None:
        """Enter an admitted request."""
        self._table[active.request_id] = active
        self._idle.clear()

    def job_ended(self, active: ActiveRequest) -> None:
        """One job of ``active`` ended; with the last one the request leaves the table."""
        active.open_jobs -= 1
        if active.open_jobs == 0:
            if active.timer is not None:
                active.timer.cancel()
            self._table.pop(active.request_id, None)
            self._settle()

    async def wait_idle(self, deadline_s: float) -> bool:
        """Wait until nothing is under way; False when the deadline passed first."""
        try:
            async with asyncio.timeout(deadline_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    def _settle(self) -> None:
        if not self._table and not self._preparing:
            self._idle.set()
