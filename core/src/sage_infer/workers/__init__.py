"""Worker processes: one per model instance, spoken to through proxies that keep the backend's contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sage_infer_contracts.kinds import PluginKind

from .backend import ProcessBackend as ProcessBackend
from .embedding import ProcessEmbedding as ProcessEmbedding
from .proxy import Progress as Progress
from .settings import WorkerSettings as WorkerSettings
from .worker_spec import WorkerSpec as WorkerSpec

if TYPE_CHECKING:
    from sage_infer.backends.plan import BackendPlan
    from sage_infer.plugins import Registry


async def open_worker(
    plan: BackendPlan,
    registry: Registry,
    *,
    settings: WorkerSettings | None = None,
    progress: Progress | None = None,
) -> ProcessBackend | ProcessEmbedding:
    """Start a worker for ``plan`` and return its proxy; raises what start raises, leaving nothing behind."""
    allowlist = registry.allowlist
    spec = WorkerSpec(
        plan=plan,
        allowlist=None if allowlist is None else tuple(sorted(allowlist)),
        autoload=registry.autoload,
    )
    kind = ProcessEmbedding if plan.kind is PluginKind.EMBEDDING else ProcessBackend
    proxy = kind(spec, settings=settings, progress=progress)
    await proxy.start()
    return proxy
