"""What is asked of a backend inside a command: prompts, calls, and settings of an instance."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, NonNegativeInt, PlainSerializer, PositiveFloat, PositiveInt

from sage_infer_contracts.sampling import SamplingParams
from sage_infer_contracts.wire import FrozenModel


def _changed(params: SamplingParams) -> dict[str, object]:
    return params.model_dump(exclude_defaults=True)


Params = Annotated[SamplingParams, PlainSerializer(_changed)]
"""Parameters, written down as what differs from the defaults: null is a value of ``max_tokens`` and must stay."""


class Prompt(FrozenModel):
    """Text, as a prompt or as a turn of a chat; with ``tokens``, its ids repeated or cut to that many."""

    text: str
    tokens: PositiveInt | None = None
    chat: bool = False
    head: str = ""
    """Another text that the prompt begins with, for ``head_tokens`` tokens."""

    head_tokens: NonNegativeInt = 0

    def key(self) -> str:
        """Return what tells two prompts apart."""
        return f"{self.text}|{self.tokens}|{self.chat}|{self.head}|{self.head_tokens}"

    def story(self) -> str:
        """Return the prompt as a person would write it."""
        head = f"{self.head_tokens} tokens of {self.head[:12]!r}, then " if self.head_tokens else ""
        shown = self.text if len(self.text) <= 24 else self.text[:21] + "..."
        return (
            f"{head}{shown!r}"
            + (f" as {self.tokens} tokens" if self.tokens else "")
            + (" (chat)" if self.chat else "")
        )


class Cancel(FrozenModel):
    """When and under which name a call is cancelled."""

    after_tokens: NonNegativeInt
    index: NonNegativeInt | None = None
    """One stream of the call; None: all of it."""

    by_stream: bool = False
    """Through the stream's own ``cancel`` instead of the backend's."""


class Call(FrozenModel):
    """One call of ``generate``, or of ``prefill`` and then ``decode``, and what happens to it."""

    name: str
    prompts: tuple[Prompt, ...] = Field(min_length=1)
    params: Params
    split: bool = False
    cancel: Cancel | None = None
    after_tokens: NonNegativeInt = 0
    """Submitted once the calls before it have produced so many tokens together."""

    def story(self) -> str:
        """Name the prompts and what is special about the parameters."""
        prompts = ", ".join(prompt.story() for prompt in self.prompts[:2]) + (
            ", ..." if len(self.prompts) > 2 else ""
        )
        extras = "".join(
            (
                " by prefill and decode" if self.split else "",
                f" after {self.after_tokens} tokens of others" if self.after_tokens else "",
                f", cancelled after {self.cancel.after_tokens} tokens" if self.cancel else "",
            )
        )
        return f"{self.name}: {prompts} {told(self.params)}{extras}"


class Settings(FrozenModel):
    """How an instance is configured; None leaves the choice to the backend."""

    max_sequence_length: PositiveInt | None = None
    max_batch_size: PositiveInt | None = None
    max_batched_tokens: PositiveInt | None = None
    max_waiting_requests: NonNegativeInt | None = None
    kv_cache_memory_bytes: PositiveInt | None = None
    page_size: PositiveInt | None = None
    """Asked for by ``kv_schema``."""

    lease_s: PositiveFloat | None = None
    """Set through the option that the subject's fact ``lease_option`` names."""

    missing_model: bool = False
    """A folder that does not exist, so that the start must fail."""


def told(params: SamplingParams) -> str:
    """Return the parameters that are not the defaults."""
    fields = type(params).model_fields
    facts = {
        name: value for name, value in params if name != "schema_version" and value != fields[name].default
    }
    return "(" + ", ".join(f"{name}={value!r}" for name, value in facts.items()) + ")"
