"""What callers hand to the control plane."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

import attrs

from sage_infer_contracts.backend import Prompt
from sage_infer_contracts.chat import ChatMessage
from sage_infer_contracts.errors import InvalidRequest
from sage_infer_contracts.sampling import SamplingParams


def _new_id() -> str:
    return uuid4().hex


@attrs.frozen(slots=True, kw_only=True)
class GenerateRequest:
    """Text to generate from ``messages`` (a conversation) or from ``prompts`` (text or token ids); one of them.

    ``timeout_s`` bounds queueing and generation together; None takes the manager's bound.
    ``slo_ms`` is a wish that schedulers may use, not a bound.
    """

    model_id: str
    params: SamplingParams
    messages: Sequence[ChatMessage] | None = None
    prompts: Sequence[Prompt] = ()
    request_id: str = attrs.field(factory=_new_id)
    timeout_s: float | None = None
    slo_ms: float | None = None
    client_request_id: str | None = None

    def __attrs_post_init__(self) -> None:
        if (self.messages is None) == (not self.prompts):
            raise InvalidRequest("a generation needs either messages or at least one prompt", param="prompt")
        if self.messages is not None and not self.messages:
            raise InvalidRequest("messages is empty; a chat needs at least one message", param="messages")


@attrs.frozen(slots=True, kw_only=True)
class EmbedRequest:
    """Texts to turn into vectors, as one unit of work."""

    model_id: str
    texts: Sequence[str]
    request_id: str = attrs.field(factory=_new_id)
    timeout_s: float | None = None
    client_request_id: str | None = None


@attrs.frozen(slots=True)
class EmbeddingResult:
    """Vectors in the order of the texts, and how many tokens reached the model."""

    vectors: list[list[float]]
    prompt_tokens: int
