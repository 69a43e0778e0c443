"""The instances of one model and the queue before them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Generic, Literal, TypeVar

from structlog.typing import FilteringBoundLogger

from sage_infer_contracts.backend import BackendStats, InferenceBackend
from sage_infer_contracts.embedding import EmbeddingBackend
from sage_infer_contracts.errors import BackendUnavailable, CapacityExceeded, InvalidRequest, SageInferError

from .health import check_health, read_stats
from .jobs import Job
from .queues import BoundedFifo
from .types import ExecutionInstance, ModelStatus, RequestStatus

Backend = TypeVar("Backend", bound=InferenceBackend | EmbeddingBackend)


class Slot(Generic[Backend]):
    """A backend and what the scheduler knows of it. Work under way keeps its slot when the backend is replaced."""

    def __init__(self, backend: Backend, instance: ExecutionInstance, *, block_bytes: int | None) -> None:
        self.backend = backend
        self.instance = instance
        self.block_bytes = block_bytes
        self.full = False
        self.stats_problem: type[Exception] | None = None


class ModelPool(Generic[Backend]):
    """Queues jobs of one model and hands them, first come first served, to its instances.

    Owned by one event loop; every state change happens between two awaits, so there is no lock. Invariant after
    each public call: the queue is empty, or no ready instance can take its first job.
    """

    def __init__(
        self,
        model_id: str,
        kind: Literal["llm", "embedding"],
        *,
        max_queued_requests: int,
        dispatch_ahead: int,
        log: FilteringBoundLogger,
    ) -> None:
        self.model_id = model_id
        self.kind = kind
        self.created_s = int(time.time())
        self.queue: BoundedFifo[Job[Backend]] = BoundedFifo(max_queued_requests, name=model_id)
        self._dispatch_ahead = dispatch_ahead
        self._slots: dict[str, Slot[Backend]] = {}
        self._running: dict[asyncio.Task[None], Job[Backend]] = {}
        self._checks: set[asyncio.Task[None]] = set()
        self._log = log.bind(model=model_id)

    @property
    def slots(self) -> Sequence[Slot[Backend]]:
        """The registered instances."""
        return tuple(self._slots.values())

    def add(self, instance_id: str, backend: Backend, *, replace: bool = False) -> None:
        """Register a started backend, or put it in the place of another of that name."""
        if (instance_id in self._slots) != replace:
            problem = "has no instance" if replace else "already has an instance"
            raise InvalidRequest(f"model {self.model_id!r} {problem} {instance_id!r}", param="instance_id")
        capability = backend.get_capability()
        if replace:
            self._slots[instance_id].instance.state = "removed"
        self._slots[instance_id] = Slot(
            backend,
            ExecutionInstance(
                instance_id=instance_id,
                model_id=self.model_id,
                instance_type=capability.instance_type,
                max_concurrency=capability.max_batch_size + self._dispatch_ahead,
            ),
            block_bytes=capability.kv_schema.block_bytes if capability.kv_schema else None,
        )
        self.dispatch()

    def remove(self, instance_id: str) -> None:
        """Forget an instance; its running work goes on. Queued work fails when it was the last."""
        slot = self._slots.pop(instance_id, None)
        if slot is None:
            raise InvalidRequest(
                f"model {self.model_id!r} has no instance {instance_id!r}", param="instance_id"
            )
        slot.instance.state = "removed"
        self._fail_queue_if_hopeless()

    def pick(self) -> Slot[Backend]:
        """Return the ready instance with the least work; raises ``BackendUnavailable`` saying why there is none."""
        ready = [slot for slot in self._slots.values() if slot.instance.state == "ready"]
        if not ready:
            reasons = "; ".join(
                f"{slot.instance.instance_id} is {slot.instance.state}: {slot.instance.reason or 'unknown'}"
                for slot in self._slots.values()
            )
            raise BackendUnavailable(
                f"model {self.model_id!r} has no healthy instance ({reasons or 'all were removed'})"
            )
        return min(ready, key=lambda slot: slot.instance.active_requests)

    def reserve(self, places: int) -> None:
        """Take queue places for jobs to come; raises ``CapacityExceeded`` when there are none."""
        self.queue.reserve(places, spare=sum(slot.instance.free_slots for slot in self._slots.values()))

    def enqueue(self, jobs: Sequence[Job[Backend]]) -> None:
        """Queue jobs whose places were reserved, and start what can start."""
        for job in jobs:
            self.queue.push(job)
        self.dispatch()

    def cancel(self, job: Job[Backend]) -> None:
        """Give ``job`` up, wherever it is."""
        queued = self.queue.remove(job)
        if queued:
            job.abandon()
            self.dispatch()
        else:
            job.cancel()

    def dispatch(self) -> None:
        """Hand queued jobs to instances with room, in order: a wide job at the front is not overtaken."""
        while (job := self.queue.peek()) is not None:
            slot = self._room_for(job)
            if slot is None:
                break
            self.queue.pop()
            slot.instance.active_requests += job.weight
            job.metadata.instance_id = slot.instance.instance_id
            job.scheduled()
            task = asyncio.ensure_future(self._run(job, slot))
            self._running[task] = job
            task.add_done_callback(self._running.pop)
        self._fail_queue_if_hopeless()

    def suspect(self, slot: Slot[Backend], reason: str) -> None:
        """Stop giving work to an instance until it has been asked how it is."""
        if slot.instance.state != "ready":
            return
        slot.instance.state, slot.instance.reason = "suspect", reason
        check = asyncio.ensure_future(self.check(slot))
        self._checks.add(check)
        check.add_done_callback(self._checks.discard)

    async def check(self, slot: Slot[Backend]) -> None:
        """Ask an instance how it is and act on the answer."""
        before = slot.instance.state
        state, reason = await check_health(slot.backend, before=before)
        if slot.instance.state == "removed":
            return
        slot.instance.state, slot.instance.reason = state, reason
        if state != before:
            self._log.warning(
                "instance_state", instance=slot.instance.instance_id, state=state, reason=reason
            )
        self.dispatch()

    async def refresh(self, slot: Slot[Backend]) -> None:
        """Ask how an instance is, and how much KV it holds."""
        await self.check(slot)
        if slot.instance.state == "ready" and slot.block_bytes is not None:
            stats = await self.stats(slot)
            slot.instance.kv_cache_usage_gb = (
                None if stats is None else stats.blocks_held * slot.block_bytes / 1e9
            )

    async def stats(self, slot: Slot[Backend]) -> BackendStats | None:
        """Return an instance's figures, or None when it gives none.

        Why is logged when it begins and when it changes, not each time: this is asked every few seconds.
        """
        answer = await read_stats(slot.backend)
        problem = type(answer) if isinstance(answer, Exception) else None
        if isinstance(answer, Exception) and problem is not slot.stats_problem:
            self._log.warning(
                "instance_stats_missing",
                instance=slot.instance.instance_id,
                reason=repr(answer),
                # A refusal of the family says all there is; anything else is a bug, and the place matters.
                exc_info=None if isinstance(answer, SageInferError | TimeoutError) else answer,
            )
        slot.stats_problem = problem
        return None if isinstance(answer, Exception) else answer

    def status(self) -> ModelStatus:
        """Return a snapshot."""
        return ModelStatus(
            model_id=self.model_id,
            kind=self.kind,
            created_s=self.created_s,
            queued=len(self.queue),
            running=len(self._running),
            instances=tuple(slot.instance for slot in self._slots.values()),
        )

    async def close(self, *, deadline_s: float) -> None:
        """Fail what is queued, stop what runs and wait for it until the deadline."""
        for job in list(self.queue):
            self.queue.remove(job)
            job.fail(BackendUnavailable(f"model {self.model_id!r} was closed before the request ran"))
        for job in list(self._running.values()):
            job.cancel()
        tasks = {*self._running, *self._checks}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=deadline_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _room_for(self, job: Job[Backend]) -> Slot[Backend] | None:
        slots = [
            slot
            for slot in self._slots.values()
            if slot.instance.free_slots and not slot.full and job.weight <= slot.instance.free_slots
        ]
        return min(slots, key=lambda slot: slot.instance.active_requests, default=None)

    async def _run(self, job: Job[Backend], slot: Slot[Backend]) -> None:
        requeued = False
        try:
            await job.run(slot.backend)
        except CapacityExceeded as error:
            requeued = self._back_to_queue(job, slot, error)
        except SageInferError as error:
            if isinstance(error, BackendUnavailable):
                self.suspect(slot, str(error))
            job.fail(error)
        except asyncio.CancelledError:
            job.fail(BackendUnavailable(f"model {self.model_id!r} was closed while the request ran"))
            raise
        except Exception as error:  # noqa: BLE001  a plugin boundary: PK-04 allows only the family
            self._log.error("backend_broke_contract", request_id=job.metadata.request_id, exc_info=error)
            job.fail(
                SageInferError(f"the backend of {self.model_id!r} failed: {type(error).__name__}: {error}")
            )
        finally:
            slot.instance.active_requests -= job.weight
            slot.full = requeued
            self.dispatch()

    def _back_to_queue(self, job: Job[Backend], slot: Slot[Backend], error: CapacityExceeded) -> bool:
        # The engine's own queue is full. It has room again when something of ours ends; with nothing of ours
        # under way no such moment comes, so the caller is told to retry.
        if job.cancelled:
            job.abandon()
            return False
        if slot.instance.active_requests <= job.weight:
            job.fail(error)
            return False
        job.metadata.status = RequestStatus.QUEUED
        self.queue.put_back(job)
        return True

    def _fail_queue_if_hopeless(self) -> None:
        if any(slot.instance.state in ("ready", "suspect") for slot in self._slots.values()):
            return
        for job in list(self.queue):
            self.queue.remove(job)
            try:
                self.pick()
            except BackendUnavailable as error:
                job.fail(error)
