"""What a kind of subject brings to the kit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import attrs
from pydantic import TypeAdapter

from sage_infer_contracts.certification import Mode
from sage_infer_contracts.testing import Subject, SubjectKind

from ..history.steps import Command, Step
from ..judging.rules import Model, Rule, Stated


class Choices(Protocol):
    """Where a generator's decisions come from; it never sees who takes them."""

    def integer(self, low: int, high: int) -> int:
        """Return a number in ``[low, high]``."""
        ...

    def chance(self, percent: int) -> bool:
        """Return True in about ``percent`` of the cases."""
        ...

    def one_of(self, options: Any) -> Any:
        """Return one item of a non-empty sequence."""
        ...

    def weighted(self, options: Mapping[str, int]) -> str:
        """Return one key, by its weight; weights are positive."""
        ...


class Driver(Protocol):
    """Carries commands to one subject and reports what came of them. Lives in the child process."""

    def execute(self, command: Any) -> Any:
        """Do ``command`` and return its step; what the subject raises is in the step."""
        ...

    def close(self) -> None:
        """Give up everything that belongs to this history; never raises what the subject raises."""
        ...


@attrs.frozen(slots=True)
class Play:
    """One history in the making: draw from ``choices`` and the ``model``, then ``do``."""

    choices: Choices
    model: Any
    do: Callable[[Any], Any]


@attrs.frozen(slots=True)
class Scenario:
    """A way to make histories. ``examples`` of it are drawn in each mode; soak repeats those of certify."""

    name: str
    play: Callable[[Play], None]
    certify: int
    develop: int
    facts: frozenset[str] = frozenset()

    def examples(self, mode: Mode) -> int:
        """Return how many histories one round of ``mode`` draws."""
        return self.develop if mode == "develop" else self.certify


@attrs.frozen(slots=True)
class Suite:
    """Everything the kit knows of one kind."""

    kind: SubjectKind
    step_type: type[Step]
    make_model: Callable[[], Model]
    make_driver: Callable[[Subject, str], Driver]
    """Called with the subject and the name it was found by, for drivers that start processes of their own."""
    rules: tuple[Rule, ...]
    scenarios: tuple[Scenario, ...]
    stated: tuple[Stated, ...] = ()
    step_deadline_s: float = 30.0
    memory_limit_bytes: int = 2 * 1024**3
    not_tested: tuple[str, ...] = ()
    spawns: bool = False
    """Whether subjects start processes of their own: the interpreter's resource tracker, which the first of them
    would leave behind, then runs from the beginning."""

    def command(self, line: str) -> Command:
        """Read one command from JSON."""
        annotation: Any = self.step_type.model_fields["command"].annotation
        parsed: Command = TypeAdapter[Command](annotation).validate_json(line)
        return parsed
