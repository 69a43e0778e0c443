"""Builds the application."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi

from .. import __version__
from ..control_plane import ControlPlaneManager
from .auth import AuthMiddleware
from .body_limit import BodyLimitMiddleware
from .chat import chat_router
from .chat_models import ChatRequest
from .completions import CompletionRequest, completions_router
from .context import ServerContext
from .disconnect import ClientGone
from .embeddings import EmbeddingsRequest, embeddings_router
from .errors import install_error_handlers
from .models import models_router
from .openapi import ERROR_RESPONSES, definitions_of
from .operations import operations_router
from .request_id import RequestIdMiddleware
from .settings import ServingSettings

CLIENT_CLOSED_REQUEST = 499


def create_app(manager: ControlPlaneManager, settings: ServingSettings | None = None) -> FastAPI:
    """Return the OpenAI-compatible application over ``manager``, whose event loop must be the server's."""
    settings = settings or ServingSettings()
    context = ServerContext(manager, settings)
    app = FastAPI(
        title="sage-infer", version=__version__, docs_url=None, redoc_url=None, responses=ERROR_RESPONSES
    )
    for router in (chat_router, completions_router, embeddings_router, models_router, operations_router):
        app.include_router(router(context))
    install_error_handlers(app, manager.telemetry, retry_after_s=settings.retry_after_s)
    app.add_exception_handler(ClientGone, _nobody_there)
    _describe(app)
    app.add_middleware(BodyLimitMiddleware, max_bytes=settings.max_body_bytes)
    if settings.api_keys:
        open_paths = {"/health", "/ready"} | (set() if settings.metrics_need_key else {"/metrics"})
        app.add_middleware(
            AuthMiddleware,
            keys=[key.get_secret_value() for key in settings.api_keys],
            open_paths=frozenset(open_paths),
        )
    app.add_middleware(RequestIdMiddleware, log=manager.telemetry.log)
    return app


async def _nobody_there(_: Request, error: Exception) -> Response:
    return Response(status_code=CLIENT_CLOSED_REQUEST)  # written to a closed connection; it shows in the log


def _describe(app: FastAPI) -> None:
    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = get_openapi(title=app.title, version=app.version, routes=app.routes)
            schemas = app.openapi_schema.setdefault("components", {}).setdefault("schemas", {})
            schemas.update(definitions_of(ChatRequest, CompletionRequest, EmbeddingsRequest))
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]
