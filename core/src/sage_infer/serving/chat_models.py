"""Request of ``POST /v1/chat/completions``."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from sage_infer_contracts.chat import ChatMessage

from .errors import refuse
from .fields import INT64, ApiModel, GenerationFields


class TextPart(ApiModel):
    """A piece of text in a message."""

    type: Literal["text"]
    text: str


class Message(ApiModel):
    """One turn. The last group is what clients echo from an answer; only its empty values are accepted."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]
    name: str | None = Field(default=None, max_length=256)

    refusal: None = None
    audio: None = None
    function_call: None = None
    tool_calls: list[None] | None = Field(default=None, max_length=0)
    annotations: list[None] | None = Field(default=None, max_length=0)

    def to_contract(self) -> ChatMessage:
        """Return the turn as plain text; a developer message is a system message."""
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        role = "system" if self.role == "developer" else self.role
        return ChatMessage(role=role, content=text, name=self.name)


class JsonSchemaSpec(ApiModel):
    """A named JSON Schema."""

    name: str
    description: str | None = None
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class ResponseFormat(ApiModel):
    """The form an answer must have."""

    type: Literal["text", "json_schema", "json_object"]
    json_schema: JsonSchemaSpec | None = None


class ChatRequest(GenerationFields):
    """A conversation to continue. Fields of the last group are refused unless they ask for nothing."""

    messages: list[Message] = Field(min_length=1)
    max_completion_tokens: int | None = Field(default=None, ge=1, le=INT64 - 1)
    response_format: ResponseFormat | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)

    tools: list[Any] | None = None
    tool_choice: Any | None = None
    parallel_tool_calls: bool | None = None
    functions: list[Any] | None = None
    function_call: Any | None = None
    modalities: list[str] | None = None
    audio: Any | None = None
    prediction: Any | None = None
    web_search_options: Any | None = None
    reasoning_effort: str | None = None
    verbosity: str | None = None

    def token_limit(self) -> int | None:
        """Return the most tokens to generate; null means to the end of the context."""
        if self.max_tokens is not None and self.max_completion_tokens not in (None, self.max_tokens):
            raise refuse(
                f"max_tokens ({self.max_tokens}) and max_completion_tokens ({self.max_completion_tokens}) "
                "disagree; give one",
                "max_completion_tokens",
            )
        return self.max_completion_tokens if self.max_tokens is None else self.max_tokens


UNUSED: dict[str, tuple[object, ...]] = {
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "modalities": (["text"],),
    "audio": (),
    "prediction": (),
    "web_search_options": (),
    "reasoning_effort": (),
    "verbosity": (),
    "store": (False,),
    "service_tier": ("auto", "default"),
}
"""Values that ask for nothing beyond what is done anyway."""
