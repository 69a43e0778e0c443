"""Requests to a hybrid, and what became of them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from sage_infer_contracts.wire import FrozenModel

from ...history.steps import Raised
from ..embedding.steps import quoted

ServedType = Literal["llm", "embedding"]


class Generate(FrozenModel):
    """Greedy generation from one prompt. ``model`` None: the default one."""

    kind: Literal["generate"] = "generate"
    model: str | None = None
    prompt: str
    max_tokens: PositiveInt
    stop: str | None = None
    beside: tuple[str, ...] = ()
    """Other prompts of the same call, half of them before this one; only this one's answer is recorded."""

    @property
    def needs(self) -> ServedType:
        """Which type of model answers."""
        return "llm"

    def story(self) -> str:
        """Write the call as a person would."""
        stop = f", stop={self.stop!r}" if self.stop is not None else ""
        beside = f" among {len(self.beside) + 1} prompts" if self.beside else ""
        return (
            f"generate({quoted(self.prompt)}{beside}, {self.max_tokens} tokens{stop}, model={self.model!r})"
        )


class Chat(FrozenModel):
    """One turn of a conversation, answered greedily."""

    kind: Literal["chat"] = "chat"
    model: str | None = None
    prompt: str
    max_tokens: PositiveInt

    @property
    def needs(self) -> ServedType:
        """Which type of model answers."""
        return "llm"

    def story(self) -> str:
        """Write the call as a person would."""
        return f"chat({quoted(self.prompt)}, {self.max_tokens} tokens, model={self.model!r})"


class EmbedTexts(FrozenModel):
    """Vectors of texts."""

    kind: Literal["embed"] = "embed"
    model: str | None = None
    texts: tuple[str, ...]

    @property
    def needs(self) -> ServedType:
        """Which type of model answers."""
        return "embedding"

    def story(self) -> str:
        """Write the call as a person would."""
        return f"embed({len(self.texts)} texts, model={self.model!r})"


Request = Annotated[Generate | Chat | EmbedTexts, Field(discriminator="kind")]


class Answer(FrozenModel):
    """What became of one request: tokens, vectors, an error, something else, or nothing by the deadline."""

    tokens: tuple[int, ...] | None = None
    text: str = ""
    finish: str | None = None
    usage: int | None = None
    """Completion tokens as they were reported."""

    served_by: str | None = None
    """The model that a chat's answer names."""

    vectors: tuple[str, ...] | None = None
    malformed: str | None = None
    error: Raised | None = None
    accepted: bool = False
    """Whether a stream was given before an error came."""

    pending: bool = False

    def __str__(self) -> str:
        if self.pending:
            return "does not end"
        if self.error is not None:
            begun = f"gives {len(self.tokens)} tokens and " if self.tokens else ""
            return f"{begun}raises {self.error}"
        if self.vectors is not None:
            return f"gives {len(self.vectors)} vectors"
        return self.malformed or f"gives {len(self.tokens or ())} tokens, {self.finish}"
