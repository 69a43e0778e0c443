"""``GET /v1/models`` and ``GET /v1/models/{id}``."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from ..control_plane import ModelNotFound, ModelStatus
from .context import ServerContext


def models_router(context: ServerContext) -> APIRouter:
    """Return the routes."""
    router = APIRouter(tags=["models"])

    @router.get("/v1/models")
    async def list_models() -> dict[str, Any]:
        """List the models that requests may name."""
        return {"object": "list", "data": [_card(model) for model in context.manager.models()]}

    @router.get("/v1/models/{model_id:path}")
    async def get_model(model_id: str) -> dict[str, Any]:
        """Describe one model."""
        models = {model.model_id: model for model in context.manager.models()}
        if model_id not in models:
            raise ModelNotFound(model_id, models, kind="model")
        return _card(models[model_id])

    return router


def _card(model: ModelStatus) -> dict[str, Any]:
    return {"id": model.model_id, "object": "model", "created": model.created_s, "owned_by": "sage-infer"}
