"""The one way in: every request, from whatever server or script, goes through a :class:`ControlPlaneManager`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Literal

from sage_infer_contracts.backend import InferenceBackend
from sage_infer_contracts.embedding import EmbeddingBackend
from sage_infer_contracts.errors import BackendUnavailable, InvalidRequest, SageInferError

from ..common.capability_registry import CapabilityRegistry
from ..common.telemetry import Telemetry
from .active import ActiveRequests
from .admission import Admission
from .embedding_job import EmbeddingJob
from .encoding import decode_each
from .errors import Draining, ModelNotFound
from .generation_job import STOP_DEADLINE_S
from .monitoring import forget_model, refresh_gauges
from .pool import ModelPool
from .requests import EmbeddingResult, EmbedRequest, GenerateRequest
from .streams import RequestStream
from .types import ControlPlaneStatus, ModelStatus

HEALTH_INTERVAL_S = 2.0
_OWNER = "control_plane"


class ControlPlaneManager:
    """Registers backends, admits requests, queues them first come first served, and follows each to its end.

    Owned by the event loop it is first used on: no method may be called from another thread. Backends are
    registered started and stay the caller's: the manager neither starts nor closes them.

    ``instances`` is the registry that schedulers query for what each instance can do.
    ``max_queued_requests`` bounds each model's queue, in sequences; beyond it :meth:`submit` raises
    ``CapacityExceeded``. ``request_timeout_s`` bounds queueing and running together. ``dispatch_ahead`` is how
    many sequences beyond an instance's ``max_batch_size`` wait in the engine's own queue, so that it has the next
    one at hand; they no longer count as queued here.
    """

    def __init__(
        self,
        telemetry: Telemetry | None = None,
        *,
        max_queued_requests: int = 256,
        request_timeout_s: float = 600.0,
        dispatch_ahead: int = 0,
        health_interval_s: float = HEALTH_INTERVAL_S,
    ) -> None:
        self.telemetry = telemetry or Telemetry()
        self._max_queued = max_queued_requests
        self._dispatch_ahead = dispatch_ahead
        self._health_interval_s = health_interval_s
        self._llms: dict[str, ModelPool[InferenceBackend]] = {}
        self._embedders: dict[str, ModelPool[EmbeddingBackend]] = {}
        self.instances = CapabilityRegistry()
        self._active = ActiveRequests()
        self._admission = Admission(self.telemetry, self._active, request_timeout_s=request_timeout_s)
        self._monitor: asyncio.Task[None] | None = None
        self._draining = False
        self._closed = False

    @property
    def draining(self) -> bool:
        """Whether new requests are refused."""
        return self._draining

    async def register_backend(
        self, model_id: str, backend: InferenceBackend, *, instance_id: str | None = None
    ) -> str:
        """Serve ``model_id`` with a started backend, as one more instance; return the instance's name."""
        self._check_name(model_id, self._embedders)
        pool = self._llms.get(model_id) or self._new_pool(model_id, "llm")
        return self._add_instance(self._llms, pool, backend, instance_id)

    async def register_embedding(
        self, model_id: str, backend: EmbeddingBackend, *, instance_id: str | None = None
    ) -> str:
        """As :meth:`register_backend`, for an embedding model."""
        self._check_name(model_id, self._llms)
        pool = self._embedders.get(model_id) or self._new_pool(model_id, "embedding")
        return self._add_instance(self._embedders, pool, backend, instance_id)

    async def replace_backend(self, model_id: str, instance_id: str, backend: Any) -> None:
        """Put a started backend in the place of a failed one: the restart hook. Queued requests go to it."""
        self._pool(model_id).add(instance_id, backend, replace=True)
        self.instances.register(instance_id, backend.get_capability(), model_id=model_id, owner=_OWNER)

    async def unregister(self, model_id: str, *, instance_id: str | None = None) -> None:
        """Forget one instance, or the model; running requests go on, queued ones fail with the last instance."""
        pool = self._pool(model_id)
        for name in [instance_id] if instance_id else [slot.instance.instance_id for slot in pool.slots]:
            pool.remove(name)
            self.instances.unregister(name, owner=_OWNER)
        if not pool.slots:
            self._llms.pop(model_id, None)
            self._embedders.pop(model_id, None)
            forget_model(self.telemetry.metrics, model_id)

    async def submit(self, request: GenerateRequest) -> RequestStream:
        """Admit a generation and return its stream.

        Raises ``ModelNotFound``, ``InvalidRequest``, ``ContextLengthExceeded``, ``Unsupported`` (parameter),
        ``CapacityExceeded`` (queue full), ``BackendUnavailable`` (no healthy instance; ``Draining``) or
        ``DeadlineExceeded``. Errors after admission come out of the stream.
        """
        self._active.prepare()
        try:
            return await self._submit(request)
        except SageInferError as error:
            self._count_refusal(request.model_id, error)
            raise
        finally:
            self._active.prepared()

    async def embed(self, request: EmbedRequest) -> EmbeddingResult:
        """Embed texts; raises as :meth:`submit` does. Cancelling the caller gives a queued request up."""
        self._active.prepare()
        try:
            job = self._admit_embedding(request)
        except SageInferError as error:
            self._count_refusal(request.model_id, error)
            raise
        finally:
            self._active.prepared()
        try:
            return await job.result
        except asyncio.CancelledError:
            self.cancel(request.request_id)
            raise

    def cancel(self, request_id: str) -> bool:
        """Give a request up; False if it is unknown or over. Its stream ends with finish_reason "cancelled"."""
        active = self._active.get(request_id)
        if active is None:
            return False
        active.cancel()
        return True

    async def token_texts(self, model_id: str, token_ids: Sequence[int]) -> list[str]:
        """Return the text of each token of a language model by itself, within a deadline."""
        return await decode_each(self._pool(model_id).pick().backend, token_ids)

    def models(self) -> tuple[ModelStatus, ...]:
        """Return the registered models, language models first."""
        return tuple(pool.status() for pool in self._pools())

    def status(self) -> ControlPlaneStatus:
        """Return a snapshot of models, instances and requests under way."""
        return ControlPlaneStatus(self._draining, self.models(), self._active.metadata())

    async def check(self) -> ControlPlaneStatus:
        """Ask every backend how it is now, each within a deadline, and return the new status."""
        pools = self._pools()
        await asyncio.gather(*(pool.check(slot) for pool in pools for slot in pool.slots))
        return self.status()

    async def metrics(self) -> bytes:
        """Return the Prometheus text exposition, gauges read from the backends now."""
        await refresh_gauges(self.telemetry.metrics, tuple(self._llms.values()))
        return self.telemetry.metrics.render()

    def begin_drain(self) -> None:
        """Refuse new requests from now on; those admitted go on."""
        self._draining = True

    async def drain(self, deadline_s: float) -> bool:
        """Refuse new requests and wait for the admitted ones; at the deadline cancel the rest.

        Returns whether all ended on their own. After True or False nothing is under way any more, or
        the backends broke their own deadline for stopping.
        """
        self.begin_drain()
        if await self._active.wait_idle(deadline_s):
            return True
        await self.cancel_all()
        return False

    async def cancel_all(self) -> None:
        """Cancel every request and wait, within a deadline, until the backends have let go."""
        for active in self._active.all():
            active.cancel()
        await self._active.wait_idle(STOP_DEADLINE_S)

    def abort(self) -> None:
        """Fail every request at once; the backends are told to stop, but nobody waits for them."""
        self.begin_drain()
        for active in self._active.all():
            active.fail(BackendUnavailable("the server was stopped before the request ended"))

    async def close(self) -> None:
        """Fail what is queued, cancel what runs, stop watching. Idempotent; the backends stay open."""
        self.begin_drain()
        if self._closed:
            return
        self._closed = True
        if self._monitor is not None:
            self._monitor.cancel()
            await asyncio.gather(self._monitor, return_exceptions=True)
        pools = self._pools()
        await asyncio.gather(*(pool.close(deadline_s=STOP_DEADLINE_S) for pool in pools))

    async def _submit(self, request: GenerateRequest) -> RequestStream:
        self._refuse_if_draining()
        pool = self._llms.get(request.model_id)
        if pool is None:
            raise ModelNotFound(request.model_id, self._llms, kind="language model")
        return await self._admission.generation(pool, request)

    def _admit_embedding(self, request: EmbedRequest) -> EmbeddingJob:
        self._refuse_if_draining()
        pool = self._embedders.get(request.model_id)
        if pool is None:
            raise ModelNotFound(request.model_id, self._embedders, kind="embedding model")
        return self._admission.embedding(pool, request)

    def _refuse_if_draining(self) -> None:
        if self._draining:
            raise Draining("the server is shutting down and takes no new requests; retry elsewhere or later")

    def _check_name(self, model_id: str, other_kind: dict[str, Any]) -> None:
        if self._closed:
            raise Draining("the control plane is closed")
        if model_id in other_kind:
            raise InvalidRequest(
                f"model {model_id!r} is already registered as another kind", param="model_id"
            )

    def _add_instance(
        self, pools: dict[str, ModelPool[Any]], pool: ModelPool[Any], backend: Any, instance_id: str | None
    ) -> str:
        instance = instance_id or f"{pool.model_id}/{len(pool.slots)}"
        pool.add(instance, backend)
        try:
            self.instances.register(instance, backend.get_capability(), model_id=pool.model_id, owner=_OWNER)
        except InvalidRequest:  # another model's instance has this name
            pool.remove(instance)
            raise
        pools[pool.model_id] = pool
        self._watch()
        return instance

    def _new_pool(self, model_id: str, kind: Literal["llm", "embedding"]) -> ModelPool[Any]:
        return ModelPool(
            model_id,
            kind,
            max_queued_requests=self._max_queued,
            dispatch_ahead=self._dispatch_ahead,
            log=self.telemetry.log,
        )

    def _pools(self) -> list[ModelPool[Any]]:
        return [*self._llms.values(), *self._embedders.values()]

    def _pool(self, model_id: str) -> ModelPool[Any]:
        pool: ModelPool[Any] | None = self._llms.get(model_id) or self._embedders.get(model_id)
        if pool is None:
            raise ModelNotFound(model_id, [*self._llms, *self._embedders], kind="model")
        return pool

    def _count_refusal(self, model_id: str, error: SageInferError) -> None:
        known = model_id in self._llms or model_id in self._embedders
        self.telemetry.metrics.request_errors.labels(model_id if known else "", error.code).inc()

    def _watch(self) -> None:
        if self._monitor is None:
            self._monitor = asyncio.ensure_future(self._refresh_forever())

    async def _refresh_forever(self) -> None:
        while True:
            await asyncio.sleep(self._health_interval_s)
            pools = self._pools()
            await asyncio.gather(*(pool.refresh(slot) for pool in pools for slot in pool.slots))
