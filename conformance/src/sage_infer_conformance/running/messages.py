"""What a child tells the process that judges it: one JSON object a line, on a descriptor of its own."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, TypeAdapter

from sage_infer_contracts.certification import Mode, SubjectFacts
from sage_infer_contracts.testing import SubjectKind
from sage_infer_contracts.wire import FrozenModel

from ..history.steps import Residue


class Part(FrozenModel):
    """Examples of one scenario to draw."""

    scenario: str
    seed: int
    examples: NonNegativeInt


class Job(FrozenModel):
    """What a child is to do: draw histories, or carry out given commands."""

    subject: str
    kind: SubjectKind | None = None
    mode: Mode = "certify"
    parts: tuple[Part, ...] = ()
    commands: tuple[str, ...] = ()
    leaping_clock: bool = False
    rules: tuple[str, ...] = ()
    """Clauses that mode develop stops at; empty: all."""
    histories: tuple[tuple[str, ...], ...] = ()
    """Commands of several histories, each for a fresh driver."""


class Hello(FrozenModel):
    """The subject was found."""

    said: Literal["hello"] = "hello"
    facts: SubjectFacts


class Refusal(FrozenModel):
    """The subject cannot be judged: not found, ambiguous, or it failed while it was imported."""

    said: Literal["refusal"] = "refusal"
    error: dict[str, str | None]


class Begin(FrozenModel):
    """A history begins: the ``example``-th of its part."""

    said: Literal["begin"] = "begin"
    part: NonNegativeInt
    example: NonNegativeInt


class Doing(FrozenModel):
    """A command is about to be carried out, so that its death can be told."""

    said: Literal["doing"] = "doing"
    command: str


class Done(FrozenModel):
    """A step ended."""

    said: Literal["done"] = "done"
    step: str


class End(FrozenModel):
    """A history ended."""

    said: Literal["end"] = "end"
    residue: Residue


class Bye(FrozenModel):
    """Everything was done."""

    said: Literal["bye"] = "bye"


Message = Annotated[Hello | Refusal | Begin | Doing | Done | End | Bye, Field(discriminator="said")]
_ADAPTER: TypeAdapter[Message] = TypeAdapter(Message)


def read_message(line: str | bytes) -> Message:
    """Read one line."""
    return _ADAPTER.validate_json(line)
