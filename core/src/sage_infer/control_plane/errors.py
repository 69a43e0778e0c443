"""Refusals with a meaning of their own to clients. Each is a member of the contract's error family."""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar

from sage_infer_contracts.errors import BackendUnavailable, InvalidRequest


class ModelNotFound(InvalidRequest):
    """No registered model has the requested name and kind; the message lists what exists."""

    code: ClassVar[str] = "model_not_found"

    def __init__(self, model_id: str, existing: Collection[str], *, kind: str) -> None:
        names = ", ".join(sorted(existing)) or "none"
        shown = model_id if len(model_id) <= 200 else model_id[:200] + "..."
        super().__init__(f"{kind} {shown!r} does not exist here; available: {names}", param="model")


class ContextLengthExceeded(InvalidRequest):
    """Prompt, or prompt and ``max_tokens`` together, go past the model's context."""

    code: ClassVar[str] = "context_length_exceeded"


class Draining(BackendUnavailable):
    """The control plane is shutting down: running requests finish, new ones are refused."""

    code: ClassVar[str] = "draining"
