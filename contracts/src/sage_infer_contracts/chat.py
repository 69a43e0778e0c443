"""Chat messages and answers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .streams import FinishReason
from .wire import FrozenModel, WireModel


class ChatMessage(FrozenModel):
    """One turn of a conversation; ``content`` is plain text."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    name: str | None = Field(default=None, max_length=256)


class ChatResponse(WireModel):
    """A whole answer to a chat."""

    request_id: str
    model: str
    message: ChatMessage
    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    reused_prompt_tokens: int = 0
