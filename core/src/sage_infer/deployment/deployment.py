"""Opens prepared models, registers them with a control plane, restarts workers that die, closes it all."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Self

from sage_infer.backends import open_backend, open_embedding
from sage_infer.common.logs import ForwardingHandler
from sage_infer.common.telemetry import Telemetry
from sage_infer.config import Settings
from sage_infer.control_plane import ControlPlaneManager
from sage_infer.plugins import Registry
from sage_infer.workers import WorkerSettings
from sage_infer.workers.proxy import WorkerProxy
from sage_infer.workers.supervisor import RestartPolicy, Supervisor
from sage_infer_contracts.backend import InferenceBackend
from sage_infer_contracts.embedding import EmbeddingBackend
from sage_infer_contracts.errors import SageInferError
from sage_infer_contracts.models import ProgressCallback

from .prepared import PreparedModel

_log = logging.getLogger("sage_infer")


class Deployment:
    """Running models behind one :class:`ControlPlaneManager`. Use :meth:`open`, and :meth:`close` at the end."""

    def __init__(self, settings: Settings, registry: Registry, telemetry: Telemetry) -> None:
        self._settings = settings
        self._registry = registry
        self._supervisors: list[Supervisor] = []
        self._log_handler = ForwardingHandler(telemetry.log)
        self.telemetry = telemetry
        self.backends: dict[str, InferenceBackend | EmbeddingBackend] = {}
        self.manager = ControlPlaneManager(
            telemetry,
            max_queued_requests=settings.limits.max_queued_requests,
            request_timeout_s=settings.limits.request_timeout_s,
        )

    @classmethod
    async def open(
        cls,
        models: Sequence[PreparedModel],
        settings: Settings,
        registry: Registry,
        *,
        telemetry: Telemetry,
        progress: ProgressCallback,
    ) -> Self:
        """Open every model, one after the other; raises what opening raises, with nothing left running."""
        deployment = cls(settings, registry, telemetry)
        deployment._forward_logs()
        try:
            for model in models:
                await deployment._open(model, progress)
        except BaseException:
            await deployment.close()
            raise
        return deployment

    async def close(self) -> None:
        """Close manager, workers and telemetry, in this order; idempotent."""
        await self.manager.close()
        for supervisor in self._supervisors:
            await supervisor.close()
        try:
            for name, backend in self.backends.items():
                try:
                    await backend.close()
                except SageInferError as error:
                    _log.error("closing %s failed: %s", name, error)
        finally:
            self.telemetry.close()
            _log.removeHandler(self._log_handler)
            _log.propagate = True

    async def _open(self, model: PreparedModel, progress: ProgressCallback) -> None:
        model_id = model.config.model.model_id
        worker = self._settings.worker
        settings = WorkerSettings(
            start_timeout_s=worker.start_timeout_s,
            close_timeout_s=worker.close_timeout_s,
            request_timeout_s=self._settings.limits.request_timeout_s,
        )
        isolation = self._settings.inference.isolation
        backend: InferenceBackend | EmbeddingBackend
        if model.kind == "llm":
            backend = llm = await open_backend(
                model.backend,
                model.config,
                isolation=isolation,
                registry=self._registry,
                settings=settings,
                progress=progress,
            )
            self.backends[model_id] = backend
            instance = await self.manager.register_backend(model_id, llm)
        else:
            backend = embedder = await open_embedding(
                model.backend,
                model.config,
                isolation=isolation,
                registry=self._registry,
                settings=settings,
                progress=progress,
            )
            self.backends[model_id] = backend
            instance = await self.manager.register_embedding(model_id, embedder)
        if isinstance(backend, WorkerProxy):
            self._supervise(backend, model_id, instance)

    def _supervise(self, proxy: WorkerProxy, model_id: str, instance: str) -> None:
        worker = self._settings.worker
        if not worker.restart_on_failure:
            return
        policy = RestartPolicy(max_restarts=worker.max_restarts, backoff_s=worker.restart_backoff_s)

        async def back_in_service() -> None:
            await self.manager.replace_backend(model_id, instance, proxy)

        self._supervisors.append(Supervisor(proxy, policy, back_in_service))

    def _forward_logs(self) -> None:
        """Send what this package logs through the standard library to the structured log."""
        _log.addHandler(self._log_handler)
        _log.setLevel(self._settings.logging.level.upper())
        _log.propagate = False
