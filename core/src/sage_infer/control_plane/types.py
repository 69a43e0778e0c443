"""Nouns of the control plane. Times are seconds on the event loop's monotonic clock."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import attrs

from sage_infer_contracts.names import InstanceType

ExecutionInstanceType = InstanceType
"""What an instance serves; one enum covers the spellings of both design documents."""

InstanceState = Literal["ready", "suspect", "failed", "removed"]


class RequestType(StrEnum):
    """What kind of work a request is, told from its shape."""

    LLM_CHAT = "llm_chat"
    LLM_COMPLETION = "llm_completion"
    EMBEDDING = "embedding"


class RequestStatus(StrEnum):
    """Where a request is in its life. The last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    FAILED = "failed"

    @property
    def final(self) -> bool:
        """Whether nothing happens to the request any more."""
        return self in (RequestStatus.FINISHED, RequestStatus.CANCELLED, RequestStatus.FAILED)


@attrs.define(slots=True)
class RequestMetadata:
    """What the control plane knows of one sequence; owned by the manager's event loop.

    ``kv_cache_size_tokens`` is prompt plus generated tokens so far. ``slo_ms`` is the latency the caller asked
    for, None when it stated none; then there is no slack either. ``client_request_id`` is the caller's own name
    for the request; unlike ``request_id`` it need not be unique.
    """

    request_id: str
    model_id: str
    request_type: RequestType
    arrival_s: float
    prompt_tokens: int | None = None
    kv_cache_size_tokens: int | None = None
    slo_ms: float | None = None
    status: RequestStatus = RequestStatus.QUEUED
    instance_id: str | None = None
    client_request_id: str | None = None

    def slo_slack_ms(self, now_s: float) -> float | None:
        """Milliseconds left of the stated latency, negative when missed; None when none was stated."""
        return None if self.slo_ms is None else self.slo_ms - (now_s - self.arrival_s) * 1000.0


@attrs.define(slots=True)
class ExecutionInstance:
    """One running backend as the scheduler sees it; owned by the manager's event loop.

    ``kv_cache_usage_gb`` (10^9 bytes held by sequences) and ``eviction_count`` are as last reported by the
    backend; None means it was not reported, never zero by assumption.
    """

    instance_id: str
    model_id: str
    instance_type: ExecutionInstanceType
    max_concurrency: int
    state: InstanceState = "ready"
    reason: str | None = None
    active_requests: int = 0
    kv_cache_usage_gb: float | None = None
    eviction_count: int | None = None

    @property
    def free_slots(self) -> int:
        """Sequences that may start now; 0 unless the instance is ready."""
        return max(self.max_concurrency - self.active_requests, 0) if self.state == "ready" else 0


@attrs.frozen(slots=True)
class ModelStatus:
    """One registered model: its instances and how many requests wait and run in the control plane."""

    model_id: str
    kind: Literal["llm", "embedding"]
    created_s: int
    queued: int
    running: int
    instances: tuple[ExecutionInstance, ...]

    @property
    def healthy(self) -> bool:
        """Whether at least one instance serves."""
        return any(instance.state == "ready" for instance in self.instances)


@attrs.frozen(slots=True)
class ControlPlaneStatus:
    """A snapshot of everything registered and everything under way."""

    draining: bool
    models: tuple[ModelStatus, ...]
    requests: tuple[RequestMetadata, ...]

    @property
    def healthy(self) -> bool:
        """Whether there is a model and every model has an instance that serves."""
        return bool(self.models) and all(model.healthy for model in self.models)
