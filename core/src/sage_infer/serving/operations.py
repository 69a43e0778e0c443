"""``GET /health``, ``/ready`` and ``/metrics``: for those who run the server."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST

from ..control_plane import ControlPlaneStatus
from .context import ServerContext


def operations_router(context: ServerContext) -> APIRouter:
    """Return the routes."""
    router = APIRouter(tags=["operations"])
    retry = {"retry-after": str(context.settings.retry_after_s)}

    @router.get("/health")
    async def health() -> Response:
        """Ask every backend how it is: 200 when each model has an instance that serves, else 503 and why."""
        status = await context.manager.check()
        state = "ok" if status.healthy else "unhealthy"
        return JSONResponse(
            _document(state, status),
            status_code=200 if status.healthy else 503,
            headers={} if status.healthy else retry,
        )

    @router.get("/ready")
    async def ready() -> Response:
        """Say whether new requests are taken: 503 while shutting down or without a healthy backend."""
        status = context.manager.status()
        is_ready = status.healthy and not status.draining
        state = "ready" if is_ready else "draining" if status.draining else "unhealthy"
        return JSONResponse(
            {"status": state}, status_code=200 if is_ready else 503, headers={} if is_ready else retry
        )

    @router.get("/metrics")
    async def metrics() -> Response:
        """Return Prometheus metrics."""
        return Response(await context.manager.metrics(), media_type=CONTENT_TYPE_LATEST)

    return router


def _document(state: str, status: ControlPlaneStatus) -> dict[str, Any]:
    return {
        "status": state,
        "draining": status.draining,
        "models": [
            {
                "id": model.model_id,
                "kind": model.kind,
                "queued": model.queued,
                "running": model.running,
                "instances": [
                    {
                        "id": instance.instance_id,
                        "state": instance.state,
                        "reason": instance.reason,
                        "active_requests": instance.active_requests,
                        "kv_cache_usage_gb": instance.kv_cache_usage_gb,
                    }
                    for instance in model.instances
                ],
            }
            for model in status.models
        ],
    }
