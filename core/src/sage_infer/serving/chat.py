"""``POST /v1/chat/completions``."""

from __future__ import annotations

import json
from functools import partial

from fastapi import APIRouter, Request, Response

from ..control_plane import GenerateRequest
from ..control_plane.streams import Batch
from .body import read_model
from .chat_models import UNUSED, ChatRequest
from .context import AnswerHead, ServerContext, answer
from .errors import refuse
from .openapi import body_of
from .output import FINISH, Piece, Totals
from .request_id import client_request_id
from .sampling import allow_only, sampling_params
from .sse import event


def chat_router(context: ServerContext) -> APIRouter:
    """Return the route."""
    router = APIRouter()

    @router.post("/v1/chat/completions", openapi_extra=body_of(ChatRequest), tags=["chat"])
    async def chat_completions(http: Request) -> Response:
        """Continue a conversation."""
        request = await read_model(http, ChatRequest, context.settings)
        head = AnswerHead.new("chatcmpl", request.model)
        return await answer(
            context,
            http,
            to_generate_request(request, head.id, client_request_id(http)),
            stream=bool(request.stream),
            renderer=partial(ChatEvents, head, request),
            whole=partial(_whole, head),
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
        params=sampling_params(request, max_tokens=request.token_limit(), json_schema=_json_schema(request)),
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


class ChatEvents:
    """Chunks of a streamed chat. Everything but the text is formatted once."""

    def __init__(self, head: AnswerHead, request: ChatRequest, totals: Totals) -> None:
        options = request.stream_options
        self._totals = totals
        self._with_usage = options is not None and bool(options.include_usage)
        self._head = head
        self._open = (
            f'data: {{"id":{json.dumps(head.id)},"object":"chat.completion.chunk","created":{head.created},'
            f'"model":{json.dumps(head.model)},"choices":[{{"index":'
        )
        self._close = "}]" + (',"usage":null' if self._with_usage else "") + "}\n\n"
        self._begun: set[int] = set()

    def batch(self, batch: Batch) -> str:
        """Return the chunks of a batch; the first of each choice carries the role."""
        return "".join(self._piece(piece) for piece in self._totals.take(batch))

    def end(self) -> str:
        """Return the usage chunk, if it was asked for."""
        if not self._with_usage:
            return ""
        return event(
            {
                "id": self._head.id,
                "object": "chat.completion.chunk",
                "created": self._head.created,
                "model": self._head.model,
                "choices": [],
                "usage": self._totals.usage(),
            }
        )

    def _piece(self, piece: Piece) -> str:
        text = ""
        if piece.index not in self._begun:
            self._begun.add(piece.index)
            text = self._chunk(piece.index, '{"role":"assistant","content":""}', "null")
        if piece.text:
            text += self._chunk(piece.index, '{"content":' + json.dumps(piece.text) + "}", "null")
        if piece.finish_reason is not None:
            text += self._chunk(piece.index, "{}", f'"{FINISH[piece.finish_reason]}"')
        return text

    def _chunk(self, index: int, delta: str, finish: str) -> str:
        return f'{self._open}{index},"delta":{delta},"logprobs":null,"finish_reason":{finish}{self._close}'


def _whole(head: AnswerHead, pieces: list[Piece], totals: Totals) -> object:
    return {
        "id": head.id,
        "object": "chat.completion",
        "created": head.created,
        "model": head.model,
        "choices": [
            {
                "index": piece.index,
                "message": {"role": "assistant", "content": piece.text, "refusal": None},
                "logprobs": None,
                "finish_reason": FINISH[piece.finish_reason or "eos"],
            }
            for piece in pieces
        ],
        "usage": totals.usage(),
    }
