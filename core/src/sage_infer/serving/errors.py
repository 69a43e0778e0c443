"""Errors as OpenAI-shaped answers: ``{"error": {"message", "type", "param", "code"}}``, whatever went wrong."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import TypedDict

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from sage_infer_contracts.errors import (
    BackendUnavailable,
    CapacityExceeded,
    DeadlineExceeded,
    DeviceUnavailable,
    InvalidRequest,
    SageInferError,
    Unsupported,
)

from ..common.telemetry import Telemetry
from ..control_plane.errors import ModelNotFound

_PARAM_NAMES = {"json_schema": "response_format"}
"""Contract names of parameters that the API calls otherwise."""


class ErrorDetail(TypedDict):
    """Fields of an OpenAI error object."""

    message: str
    type: str
    param: str | None
    code: str | None


class ApiError(Exception):
    """A request that this layer refuses, before it reaches the control plane."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.param = param
        self.code = code
        self.headers = dict(headers or {})

    @property
    def detail(self) -> ErrorDetail:
        """The OpenAI error object."""
        return ErrorDetail(message=str(self), type=_type_of(self.status), param=self.param, code=self.code)


def refuse(message: str, param: str | None = None, *, code: str | None = None) -> ApiError:
    """Return a 400 that names the parameter at fault."""
    return ApiError(400, message, param=param, code=code)


def to_api_error(error: SageInferError, *, retry_after_s: int) -> ApiError:
    """Translate an error of the family; what may pass by itself carries ``Retry-After``."""
    param = getattr(error, "param", None)
    param = _PARAM_NAMES.get(param, param) if param else None
    status = _status_of(error)
    headers = {"retry-after": str(retry_after_s)} if status in (429, 503) else {}
    return ApiError(status, str(error), param=param, code=error.code, headers=headers)


def error_response(error: ApiError) -> JSONResponse:
    """Return ``error`` as an HTTP answer."""
    return JSONResponse({"error": error.detail}, status_code=error.status, headers=error.headers)


def install_error_handlers(app: FastAPI, telemetry: Telemetry, *, retry_after_s: int) -> None:
    """Make every error of ``app`` an OpenAI-shaped answer."""

    async def on_api_error(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ApiError)
        telemetry.metrics.request_errors.labels("", error.code or _type_of(error.status)).inc()
        return error_response(error)

    async def on_family(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, SageInferError)
        return error_response(to_api_error(error, retry_after_s=retry_after_s))

    async def on_http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        message = f"{request.method} {request.url.path}: {HTTPStatus(error.status_code).phrase.lower()}"
        return error_response(ApiError(error.status_code, message, headers=error.headers))

    async def on_defect(request: Request, error: Exception) -> JSONResponse:
        telemetry.log.error("request_crashed", path=request.url.path, exc_info=error)
        return error_response(ApiError(500, "the server has a defect here; its log has the details"))

    app.add_exception_handler(ApiError, on_api_error)
    app.add_exception_handler(SageInferError, on_family)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(Exception, on_defect)


def _status_of(error: SageInferError) -> int:
    match error:
        case ModelNotFound():
            return 404
        case InvalidRequest() | Unsupported():
            return 400
        case CapacityExceeded():
            return 429
        case BackendUnavailable() | DeviceUnavailable():
            return 503
        case DeadlineExceeded():
            return 504
        case _:
            return 500


def _type_of(status: int) -> str:
    if status == 401:
        return "authentication_error"
    if status == 429:
        return "rate_limit_error"
    if status >= 500:
        return "server_error"
    return "invalid_request_error"
