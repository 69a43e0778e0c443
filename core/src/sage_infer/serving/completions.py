"""``POST /v1/completions``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import Field

from sage_infer_contracts.backend import Prompt

from ..control_plane import GenerateRequest
from .body import read_model
from .context import ServerContext, answer
from .events import ChunkEvents
from .fields import GenerationFields, TokenId
from .logprobs import TokenTexts, completion_logprobs
from .openapi import body_of
from .output import FINISH, AnswerHead, Piece, Totals
from .request_id import client_request_id
from .sampling import allow_only, sampling_params

DEFAULT_MAX_TOKENS = 16
MAX_PROMPTS = 2048
TokenIds = Annotated[list[TokenId], Field(min_length=1)]


class CompletionRequest(GenerationFields):
    """Prompts to continue. Fields of the last group are refused unless they ask for nothing."""

    prompt: (
        str
        | Annotated[list[str], Field(min_length=1, max_length=MAX_PROMPTS)]
        | TokenIds
        | Annotated[list[TokenIds], Field(min_length=1, max_length=MAX_PROMPTS)]
    ) = Field(
        json_schema_extra={
            "x-accepts": f"a string, a list of 1 to {MAX_PROMPTS} strings, a non-empty list of token ids "
            "(each from 0 to 2147483647), or a list of such lists"
        }
    )
    logprobs: int | None = Field(default=None, ge=0, le=5)

    echo: bool | None = None
    best_of: int | None = Field(default=None, ge=0, le=20)
    suffix: str | None = None


UNUSED: dict[str, tuple[object, ...]] = {
    "echo": (False,),
    "best_of": (1,),
    "suffix": ("",),
    "store": (False,),
    "service_tier": ("auto", "default"),
}


def completions_router(context: ServerContext) -> APIRouter:
    """Return the route."""
    router = APIRouter()

    @router.post("/v1/completions", openapi_extra=body_of(CompletionRequest), tags=["completions"])
    async def completions(http: Request) -> Response:
        """Continue one or several prompts."""
        request = await read_model(http, CompletionRequest, context.settings)
        head = AnswerHead.new("cmpl", request.model)
        texts_of = partial(context.manager.token_texts, request.model)
        return await answer(
            context,
            http,
            to_generate_request(request, head.id, client_request_id(http)),
            stream=bool(request.stream),
            renderer=partial(CompletionEvents, head, request, texts_of),
            whole=partial(_whole, head, texts_of),
        )

    return router


def to_generate_request(
    request: CompletionRequest, request_id: str, client_id: str | None
) -> GenerateRequest:
    """Translate the request; raises ``ApiError`` naming what is not supported."""
    allow_only(request, UNUSED)
    max_tokens = DEFAULT_MAX_TOKENS if request.max_tokens is None else request.max_tokens
    return GenerateRequest(
        model_id=request.model,
        prompts=_prompts(request),
        params=sampling_params(request, max_tokens=max_tokens, logprobs=request.logprobs),
        request_id=request_id,
        client_request_id=client_id,
    )


def _prompts(request: CompletionRequest) -> Sequence[Prompt]:
    prompt = request.prompt
    if isinstance(prompt, str):
        return [prompt]
    if isinstance(prompt[0], int):
        return [[token for token in prompt if isinstance(token, int)]]
    return [item for item in prompt if not isinstance(item, int)]


class CompletionEvents(ChunkEvents):
    """Chunks of a streamed completion."""

    kind = "text_completion"

    def __init__(
        self, head: AnswerHead, request: CompletionRequest, texts_of: TokenTexts, totals: Totals
    ) -> None:
        super().__init__(head, request, totals)
        self._texts_of = texts_of
        self._offsets: dict[int, int] = {}

    async def piece(self, piece: Piece) -> str:
        """Return the new text of a choice."""
        if piece.empty:
            return ""
        finish = "null" if piece.finish_reason is None else f'"{FINISH[piece.finish_reason]}"'
        offset = self._offsets.get(piece.index, 0)
        self._offsets[piece.index] = offset + len(piece.text)
        logprobs = json.dumps(await _logprobs(piece, self._texts_of, offset)) if piece.logprobs else "null"
        return self.chunk(
            piece.index, f'"text":{json.dumps(piece.text)},"logprobs":{logprobs},"finish_reason":{finish}'
        )


async def _logprobs(piece: Piece, texts_of: TokenTexts, offset: int) -> object:
    return await completion_logprobs(piece.logprobs, texts_of, offset=offset) if piece.logprobs else None


async def _whole(head: AnswerHead, texts_of: TokenTexts, pieces: list[Piece], totals: Totals) -> object:
    return {
        "id": head.id,
        "object": "text_completion",
        "created": head.created,
        "model": head.model,
        "choices": [
            {
                "index": piece.index,
                "text": piece.text,
                "logprobs": await _logprobs(piece, texts_of, 0),
                "finish_reason": piece.finish,
            }
            for piece in pieces
        ],
        "usage": totals.usage(),
    }
