"""Tells what kind of work a request is, from its shape alone."""

from __future__ import annotations

from .requests import EmbedRequest, GenerateRequest
from .types import RequestType


def classify(request: GenerateRequest | EmbedRequest) -> RequestType:
    """Return the type of ``request``: texts embed, messages chat, prompts complete."""
    if isinstance(request, EmbedRequest):
        return RequestType.EMBEDDING
    return RequestType.LLM_COMPLETION if request.messages is None else RequestType.LLM_CHAT
