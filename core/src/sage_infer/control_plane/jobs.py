"""A unit of work that a model's pool queues and runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from sage_infer_contracts.backend import InferenceBackend
from sage_infer_contracts.embedding import EmbeddingBackend
from sage_infer_contracts.errors import SageInferError

from .metrics_collector import SequenceTimer
from .types import RequestMetadata, RequestStatus

Backend = TypeVar("Backend", bound=InferenceBackend | EmbeddingBackend)


class Job(Generic[Backend]):
    """One unit of work. ``weight`` is how many of an instance's slots it takes.

    The owner hears of the end once, through ``on_end``, after the backend has let go of the work.
    """

    def __init__(
        self,
        metadata: RequestMetadata,
        timers: Sequence[SequenceTimer],
        *,
        weight: int,
        on_end: Callable[[], None],
    ) -> None:
        self.metadata = metadata
        self.timers = timers
        self.weight = weight
        self._on_end = on_end
        self._now = asyncio.get_running_loop().time
        self.started = False
        self.cancelled = False

    async def run(self, backend: Backend) -> None:
        """Do the work on ``backend``; errors of the backend are raised, and then given to :meth:`fail`."""
        raise TypeError(f"{type(self).__name__} does not say how it runs")

    def cancel(self) -> None:
        """Give up work that has been handed to a backend; :meth:`abandon` is for a queued job."""
        self.cancelled = True

    def abandon(self) -> None:
        """End a job that never reached a backend, as cancelled."""
        self.end(RequestStatus.CANCELLED)

    def fail(self, error: SageInferError) -> None:
        """End the job with ``error``."""
        self.record_failure(error)
        self.end(RequestStatus.FAILED)

    def record_failure(self, error: SageInferError) -> None:
        """Count ``error`` for every sequence that has not ended."""
        for timer in self.timers:
            timer.failed(error.code, self._now())

    def scheduled(self) -> None:
        """Note that the job was handed to an instance; a job that comes back is noted once."""
        self.metadata.status = RequestStatus.RUNNING
        if not self.started:
            self.started = True
            for timer in self.timers:
                timer.scheduled(self._now())

    def end(self, status: RequestStatus) -> None:
        """Set the final status and tell the owner; only the first call counts."""
        if not self.metadata.status.final:
            self.metadata.status = status
            self._on_end()
