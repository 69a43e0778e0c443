"""What is asked of a hybrid backend, and what is recorded of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from sage_infer_contracts.wire import FrozenModel

from ...history.steps import Command, Raised, Step
from .asks import Answer, Request, ServedType


class Create(Command):
    """Make a hybrid with room for so many models of each type, and half a small one more."""

    op: Literal["create"] = "create"
    llms: NonNegativeInt
    embeddings: NonNegativeInt


class Wanted(FrozenModel):
    """A model to load. ``percent`` of what a model of its type is known to need."""

    name: str
    type: ServedType
    percent: PositiveInt = 100

    def __str__(self) -> str:
        return self.name + (f" at {self.percent} % of its size" if self.percent != 100 else "")


class Load(Command):
    """Load one model, or several at once from threads of their own."""

    op: Literal["load"] = "load"
    models: tuple[Wanted, ...]

    def story(self) -> str:
        """Name the models."""
        return f"load {' and at once '.join(map(str, self.models))}"


class Unload(Command):
    """Unload a model."""

    op: Literal["unload"] = "unload"
    model: str

    def story(self) -> str:
        """Name it."""
        return f"unload {self.model}"


class UnloadDuring(Command):
    """Begin requests, unload a model once ``after_tokens`` of them have come, and begin the ``late`` ones then."""

    op: Literal["unload_during"] = "unload_during"
    model: str
    requests: tuple[Request, ...]
    late: tuple[Request, ...] = ()
    after_tokens: NonNegativeInt = 0
    turns: PositiveInt = 1
    """Turns of the event loop before the unload, and again before the late requests."""

    def story(self) -> str:
        """Name the model and the requests."""
        begun = "; ".join(request.story() for request in self.requests)
        late = "; then " + "; ".join(request.story() for request in self.late) if self.late else ""
        return f"unload {self.model} during {begun}{late}"


class Ask(Command):
    """Requests that run at once."""

    op: Literal["ask"] = "ask"
    requests: tuple[Request, ...]

    def story(self) -> str:
        """Show the requests."""
        return " | ".join(request.story() for request in self.requests)


class AskStatus(Command):
    """How is a model?"""

    op: Literal["status"] = "status"
    model: str

    def story(self) -> str:
        """Name it."""
        return f"get_model_status({self.model!r})"


class Calibrate(Command):
    """Take the memory that the process holds now as what it holds without models."""

    op: Literal["calibrate"] = "calibrate"


HybridCommand = Annotated[
    Create | Load | Unload | UnloadDuring | Ask | AskStatus | Calibrate, Field(discriminator="op")
]


class About(FrozenModel):
    """What the run knows of its models: bytes that each type is given, and what each costs the process beside them."""

    llm_bytes: int
    embedding_bytes: int
    overhead_bytes: int = 0
    exact: bool = True
    """Whether greedy output may be compared token by token."""


class Loaded(FrozenModel):
    """A model that is listed, with its status."""

    name: str
    type: str
    budget_bytes: int
    state: str
    held_bytes: int | None = None


class Seen(FrozenModel):
    """What the hybrid says of itself after a step."""

    models: tuple[Loaded, ...]
    total_bytes: int
    available_bytes: int


class Memory(FrozenModel):
    """What the process and its children held, in bytes."""

    before: int
    peak: int
    after: int


class HybridStep(Step):
    """One step of a hybrid."""

    command: HybridCommand
    about: About | None = None
    answers: tuple[Answer, ...] = ()
    errors: tuple[Raised | None, ...] = ()
    """Of loads that were begun at once, one each."""

    state: str | None = None
    """What a status says."""

    seen: Seen | None = None
    memory: Memory | None = None

    @property
    def requests(self) -> tuple[Request, ...]:
        """The requests that :attr:`answers` belong to."""
        command = self.command
        if isinstance(command, UnloadDuring):
            return (*command.requests, *command.late)
        return command.requests if isinstance(command, Ask) else ()

    def answer(self) -> str:
        """Return what came of it, in short."""
        parts = [str(answer) for answer in self.answers] + [
            str(error) for error in self.errors if error is not None
        ]
        if self.state is not None:
            parts.append(self.state)
        if self.memory is not None and self.command.op != "ask":
            parts.append(
                f"{self.memory.after - self.memory.before >> 20:+} MiB, at most {self.memory.peak >> 20} MiB"
            )
        return "; ".join(parts)
