"""``POST /v1/chat/completions``."""

from __future__ import annotations

import json
from functools import partial

from fastapi import APIRouter, Request, Response

from ..control_plane import GenerateRequest
from .body import read_model
from .chat_models import UNUSED, ChatRequest
from .context import ServerContext, answer
from .errors import refuse
from .events import ChunkEvents
from .logprobs import TokenTexts, chat_logprobs
from .openapi import body_of
from .output import FINISH, AnswerHead, Piece, Totals
from .request_id import client_request_id
from .sampling import allow_only, sampling_params


def chat_router(context: ServerContext) -> APIRouter:
    """Return the route."""
    router = APIRouter()

    @router.post("/v1/chat/completions", openapi_extra=body_of(ChatRequest), tags=["chat"])
    async def chat_completions(http: Request) -> Response:
        """Continue a conversation."""
        request = await read_model(http, ChatRequest, context.settings)
        head = AnswerHead.new("chatcmpl", request.model)
        texts_of = partial(context.manager.token_texts, request.model)
        return await answer(
            context,
            http,
            to_generate_request(request, head.id, client_request_id(http)),
            stream=bool(request.stream),
            renderer=partial(ChatEvents, head, request, texts_of),
            whole=partial(_whole, head, texts_of),
        )

    return router


def to_generate_request(request: ChatRequest, request_id: str, client_id: str | None) -> GenerateRequest:
    """Translate the request; raises ``ApiError`` naming what is not supported."""
    allow_only(request, UNUSED)
    if request.top_logprobs is not None and not request.logprobs:
        raise refuse("top_logprobs needs logprobs to be true", "top_logprobs")
    return GenerateRequest(
        model_id=request.model,
        messages=[message.to_contract() for message in request.messages],
        params=sampling_params(
            request,
            max_tokens=request.token_limit(),
            logprobs=(request.top_logprobs or 0) if request.logprobs else None,
            json_schema=_json_schema(request),
        ),
        request_id=request_id,
        client_request_id=client_id,
    )


def _json_schema(request: ChatRequest) -> str | None:
    wanted = request.response_format
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return '{"type":"object"}'
    if wanted.json_schema is None:
        raise refuse("response_format of type json_schema needs json_schema", "response_format.json_schema")
    return json.dumps(wanted.json_schema.schema_)


class ChatEvents(ChunkEvents):
    """Chunks of a streamed chat; the first of each choice carries the role."""

    kind = "chat.completion.chunk"

    def __init__(self, head: AnswerHead, request: ChatRequest, texts_of: TokenTexts, totals: Totals) -> None:
        super().__init__(head, request, totals)
        self._texts_of = texts_of
        self._begun: set[int] = set()

    async def piece(self, piece: Piece) -> str:
        """Return role, text and end of a choice, each in a chunk of its own."""
        text = ""
        if piece.index not in self._begun:
            self._begun.add(piece.index)
            text = self._chat_chunk(piece.index, '{"role":"assistant","content":""}')
        if piece.text or piece.logprobs:
            logprobs = json.dumps(await _logprobs(piece, self._texts_of))
            text += self._chat_chunk(piece.index, '{"content":' + json.dumps(piece.text) + "}", logprobs)
        if piece.finish_reason is not None:
            text += self._chat_chunk(piece.index, "{}", finish=f'"{FINISH[piece.finish_reason]}"')
        return text

    def _chat_chunk(self, index: int, delta: str, logprobs: str = "null", finish: str = "null") -> str:
        return self.chunk(index, f'"delta":{delta},"logprobs":{logprobs},"finish_reason":{finish}')


async def _logprobs(piece: Piece, texts_of: TokenTexts) -> object:
    return {"content": await chat_logprobs(piece.logprobs, texts_of)} if piece.logprobs else None


async def _whole(head: AnswerHead, texts_of: TokenTexts, pieces: list[Piece], totals: Totals) -> object:
    return {
        "id": head.id,
        "object": "chat.completion",
        "created": head.created,
        "model": head.model,
        "choices": [
            {
                "index": piece.index,
                "message": {"role": "assistant", "content": piece.text, "refusal": None},
                "logprobs": await _logprobs(piece, texts_of),
                "finish_reason": piece.finish,
            }
            for piece in pieces
        ],
        "usage": totals.usage(),
    }
