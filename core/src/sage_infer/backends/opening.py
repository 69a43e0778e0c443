"""Open a backend: resolve its name, create it here or in a worker, and start it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Literal, cast

from sage_infer import env
from sage_infer_contracts.errors import InvalidRequest
from sage_infer_contracts.kinds import PluginKind

from .choice import choose_name
from .creation import create_backend
from .plan import BackendKind, BackendPlan, plan_backend

if TYPE_CHECKING:
    from sage_infer.plugins import Registry
    from sage_infer.workers.settings import WorkerSettings
    from sage_infer_contracts.backend import BackendConfig, InferenceBackend
    from sage_infer_contracts.embedding import EmbeddingBackend

_log = logging.getLogger("sage_infer.backends")

Isolation = Literal["process", "inline"]
Progress = Callable[[str, float | None], None]


async def open_backend(
    name: str,
    config: BackendConfig,
    *,
    isolation: Isolation = "process",
    registry: Registry | None = None,
    settings: WorkerSettings | None = None,
    progress: Progress | None = None,
    capabilities: Collection[str] = (),
) -> InferenceBackend:
    """Return a started backend for language models.

    ``capabilities`` are those that will be used: a platform that cannot have one refuses before anything starts.

    ``name`` is a plugin's, ``dist:name``, or ``auto`` (the best proposal of the installed hooks). With
    ``process`` the engine runs in a worker of its own and the result is a proxy with the same contract, see
    :class:`sage_infer.workers.backend.ProcessBackend`; with ``inline`` it runs in this process.
    Raises what planning, creating and starting raise; after a failure nothing is left running.
    """
    backend = await _open(
        PluginKind.BACKEND, name, config, isolation, registry, settings, progress, capabilities
    )
    return cast("InferenceBackend", backend)


async def open_embedding(
    name: str,
    config: BackendConfig,
    *,
    isolation: Isolation = "process",
    registry: Registry | None = None,
    settings: WorkerSettings | None = None,
    progress: Progress | None = None,
) -> EmbeddingBackend:
    """As :func:`open_backend`, for a backend under ``sage_infer.embedding.v1``."""
    backend = await _open(PluginKind.EMBEDDING, name, config, isolation, registry, settings, progress)
    return cast("EmbeddingBackend", backend)


async def _open(
    kind: BackendKind,
    name: str,
    config: BackendConfig,
    isolation: Isolation,
    registry: Registry | None,
    settings: WorkerSettings | None,
    progress: Progress | None,
    capabilities: Collection[str] = (),
) -> InferenceBackend | EmbeddingBackend:
    from sage_infer.plugins import default_registry

    registry = registry or default_registry()
    if name == "auto":
        chosen = await asyncio.to_thread(choose_name, kind, registry)
        name = f"{chosen.distribution}:{chosen.name}"
        if progress is not None:
            progress(f"auto takes {name}: {chosen.reason} (proposed by {chosen.proposed_by})", None)
    plan = await asyncio.to_thread(
        plan_backend, name, config, registry=registry, kind=kind, capabilities=capabilities
    )
    for line in (plan.describe(), *plan.notes):
        if progress is not None:
            progress(line, None)
        elif line in plan.notes:
            _log.warning("%s: %s", plan.requested, line)
    if isolation == "process":
        from sage_infer.workers import open_worker

        return await open_worker(plan, registry, settings=settings, progress=progress)
    return await _open_inline(plan, registry)


async def _open_inline(plan: BackendPlan, registry: Registry) -> InferenceBackend | EmbeddingBackend:
    if plan.launch_plan is not None:
        differing = env.differing_from(plan.launch_plan.environment)
        if differing:
            raise InvalidRequest(
                f"{plan.requested} needs {', '.join(differing)} set in the engine's own process; "
                "use isolation=process",
                param="isolation",
            )
    backend = create_backend(plan, registry)
    try:
        await backend.start()
    except BaseException:
        await backend.close()
        raise
    return backend
