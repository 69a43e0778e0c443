"""One recorded step: a command, and what came of it. Each kind adds its commands and results."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ClassVar, Literal, TypeVar

from pydantic import NonNegativeFloat, NonNegativeInt

from sage_infer_contracts.errors import SageInferError
from sage_infer_contracts.wire import FrozenModel

Fate = Literal["crash", "exit", "hang", "memory"]
"""How a subject took its process with it."""


class Raised(FrozenModel):
    """An exception that came out of the subject, or the end of the subject's process."""

    type: str
    code: str | None = None
    """Code of the error family; None: an exception that no contract documents."""
    message: str = ""
    param: str | None = None
    fate: Fate | None = None

    @classmethod
    def of(cls, error: BaseException) -> Raised:
        """Describe an exception."""
        code = error.code if isinstance(error, SageInferError) else None
        known = code if code != SageInferError.code else None
        param = getattr(error, "param", None)
        return cls(
            type=type(error).__name__,
            code=known,
            message=str(error)[:2000],
            param=param if isinstance(param, str) else None,
        )

    def __str__(self) -> str:
        return f"{self.type}: {self.message}" if self.message else self.type


class Command(FrozenModel):
    """Something asked of the subject. A kind's commands differ in ``op``."""

    counted: ClassVar[bool] = True
    """Whether judging it is an evaluation; not where an answer of the subject made the kit ask once more."""
    may_print_bytes: ClassVar[int] = 256
    """What a subject may print for it (PK-08)."""

    op: str

    def story(self) -> str:
        """Return the command as a person would write it, e.g. ``touch b3``."""
        facts = (f"{name}={value!r}" for name, value in self if name != "op")
        return " ".join((self.op, *facts))


class Step(FrozenModel):
    """A command and what came of it; a kind adds ``command`` and its result fields."""

    error: Raised | None = None
    seconds: NonNegativeFloat = 0.0
    capabilities: tuple[str, ...] | None = None
    """What the subject declares, told by the step that created or started it."""

    @property
    def asked(self) -> Command:
        """The command; each kind has it as a field of its own type."""
        command: Command = self.command  # type: ignore[attr-defined]  # pydantic wants it in the kind's own class
        return command

    def story(self) -> str:
        """Return the step in one line, for a report."""
        command = self.asked
        if self.error is not None:
            return f"{command.story()}  raises {self.error}"
        answer = self.answer()
        return f"{command.story()}  gives {answer}" if answer else command.story()

    def answer(self) -> str:
        """Return what the subject answered, as a person would write it; empty for nothing worth telling."""
        return ""


S = TypeVar("S", bound=Step)


def carry_out(step: S, work: Callable[[S], S]) -> S:
    """Return what ``work`` makes of ``step``: its result or what the subject raised, and the time unless it has one."""
    began = time.perf_counter()
    try:
        found = work(step)
    except Exception as error:  # noqa: BLE001 - whatever the subject raises is what is recorded
        found = step.model_copy(update={"error": Raised.of(error)})
    return found if found.seconds else found.model_copy(update={"seconds": time.perf_counter() - began})


class Residue(FrozenModel):
    """What a history left in the process that played it (PK-05)."""

    threads: tuple[str, ...] = ()
    open_files: NonNegativeInt = 0
    child_processes: NonNegativeInt = 0


class Output(FrozenModel):
    """What a process that played histories printed."""

    bytes: NonNegativeInt
    steps: NonNegativeInt
    allowed_bytes: NonNegativeInt
    tail: str = ""
