"""A scheduler for vLLM's engine process that can hold a request between its first and its second token.

This is how prefill and decode become separate calls: the request stays one request of the engine, with its
blocks, random state, penalties and grammar, and is only not scheduled until it is resumed. So decode computes
nothing of the prompt again, whatever its length, and the tokens are those of an undivided request.

Loaded by name in the engine's process, where the scheduler is used by one thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vllm.v1.core.sched.async_scheduler import AsyncScheduler
from vllm.v1.core.sched.output import SchedulerOutput
from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.request import Request

MARK = "sage_infer"
PARK: Mapping[str, str] = {MARK: "park"}
"""Extra arguments of a request that waits after its first token."""

RESUME: Mapping[str, str] = {MARK: "resume"}
"""Extra arguments of the message that lets the request of the same id go on."""


class _Parking(Scheduler):  # type: ignore[misc]  # the framework is opaque to the type checker
    """What both schedulers below add. A request is in one of ``_to_park``, ``_parked``, ``_resuming``, or in none."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._to_park: set[str] = set()
        self._parked: dict[str, Request] = {}
        self._resuming: dict[str, Request] = {}
        self._active_limit: int = self.max_num_active_reqs

    def add_request(self, request: Request) -> None:
        """Queue a request, or let a parked one go on; one that was aborted meanwhile stays over."""
        mark = _mark(request)
        if mark == RESUME[MARK]:
            parked = self._parked.pop(request.request_id, None)
            if parked is not None:
                self._resuming[request.request_id] = parked
            return
        if mark == PARK[MARK]:
            self._to_park.add(request.request_id)
        super().add_request(request)

    def schedule(self, *args: Any, **kwargs: Any) -> SchedulerOutput:
        """Seat resumed requests before new ones, as far as there are seats."""
        if self._parked or self._resuming or self.max_num_active_reqs != self._active_limit:
            self._seat()
        return super().schedule(*args, **kwargs)

    def get_request_counts(self) -> tuple[int, int]:
        """Return how many requests run and wait; held ones wait."""
        running, waiting = super().get_request_counts()
        return running, waiting + len(self._parked) + len(self._resuming)

    def get_num_unfinished_requests(self) -> int:
        """Return how many requests there is work for; a parked one needs none, or the engine would spin."""
        return int(super().get_num_unfinished_requests()) - len(self._parked)

    def _seat(self) -> None:
        for request_id in list(self._resuming):
            if len(self.running) >= self._active_limit:
                break
            self.running.append(self._resuming.pop(request_id))
        if self.use_v2_model_runner:
            # That runner keeps a slot for every request it has seen, scheduled or not.
            self.max_num_active_reqs = self._active_limit - len(self._parked) - len(self._resuming)

    def _update_after_schedule(self, scheduler_output: SchedulerOutput) -> None:
        super()._update_after_schedule(scheduler_output)
        if self._to_park:
            for request_id in self._to_park & scheduler_output.num_scheduled_tokens.keys():
                request = self.requests[request_id]
                if not request.is_prefill_chunk:  # this step samples its first token
                    self._to_park.discard(request_id)
                    self.running.remove(request)
                    self._parked[request_id] = request

    def _free_request(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        for held in (self._parked, self._resuming):
            held.pop(request.request_id, None)
        self._to_park.discard(request.request_id)
        return super()._free_request(request, *args, **kwargs)


class ParkingScheduler(_Parking):
    """vLLM's scheduler, with parking."""


class ParkingAsyncScheduler(_Parking, AsyncScheduler):  # type: ignore[misc]
    """vLLM's scheduler that plans a step ahead, with parking."""


def parking_scheduler(configured: type) -> str | None:
    """Return the name of the class that adds parking to ``configured``; None if it is a third party's."""
    names = {Scheduler: ParkingScheduler, AsyncScheduler: ParkingAsyncScheduler}
    parking = names.get(configured)
    return None if parking is None else f"{__name__}.{parking.__name__}"


def _mark(request: Request) -> object:
    params = request.sampling_params
    return params.extra_args.get(MARK) if params is not None and params.extra_args else None
