"""``POST /v1/embeddings``."""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import Field

from ..control_plane import EmbedRequest
from .body import read_model
from .context import ServerContext
from .disconnect import while_connected
from .errors import refuse
from .fields import ApiModel
from .openapi import body_of
from .request_id import client_request_id, new_request_id

MAX_TEXTS = 2048


class EmbeddingsRequest(ApiModel):
    """Texts to embed. The last group is accepted and changes nothing."""

    model: str = Field(min_length=1)
    input: str | Annotated[list[str], Field(min_length=1, max_length=MAX_TEXTS)] = Field(
        json_schema_extra={
            "x-accepts": f"a string or a list of 1 to {MAX_TEXTS} strings; token ids are not supported"
        }
    )
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Any | None = Field(
        default=None, description="not supported: vectors keep the model's dimension"
    )

    user: str | None = None


def embeddings_router(context: ServerContext) -> APIRouter:
    """Return the route."""
    router = APIRouter()

    @router.post("/v1/embeddings", openapi_extra=body_of(EmbeddingsRequest), tags=["embeddings"])
    async def embeddings(http: Request) -> Response:
        """Turn texts into vectors."""
        request = await read_model(http, EmbeddingsRequest, context.settings)
        texts = [request.input] if isinstance(request.input, str) else request.input
        if request.dimensions is not None:
            raise refuse(
                "parameter 'dimensions' is not supported: vectors have the model's own dimension",
                "dimensions",
                code="unsupported",
            )
        if "" in texts:
            raise refuse("input: a text is empty; give each at least one character", "input")
        work = context.manager.embed(
            EmbedRequest(
                model_id=request.model,
                texts=texts,
                request_id=new_request_id(),
                client_request_id=client_request_id(http),
            )
        )
        result = await while_connected(work, http.receive)
        encode = _base64 if request.encoding_format == "base64" else list
        return JSONResponse(
            {
                "object": "list",
                "model": request.model,
                "data": [
                    {"object": "embedding", "index": index, "embedding": encode(vector)}
                    for index, vector in enumerate(result.vectors)
                ],
                "usage": {"prompt_tokens": result.prompt_tokens, "total_tokens": result.prompt_tokens},
            }
        )

    return router


def _base64(vector: Sequence[float]) -> str:
    """Return little-endian 32-bit floats in base64, as clients expect."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
