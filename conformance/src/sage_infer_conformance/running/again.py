"""Carries out recorded commands against a fresh subject in a process of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sage_infer_contracts.errors import error_from_wire

from ..history.steps import Command
from .messages import Bye, Done, Job, Refusal
from .process import ChildProcess

_DEADLINE_S = 60.0
_MEMORY_BYTES = 4 * 1024**3


def play_again(
    subject: str,
    commands: Sequence[Command],
    *,
    hash_seed: int = 0,
    leaping_clock: bool = False,
    environment: Mapping[str, str] | None = None,
    step_deadline_s: float = _DEADLINE_S,
    memory_limit_bytes: int = _MEMORY_BYTES,
) -> list[str]:
    """Return the steps, as JSON lines, that ``commands`` lead to now; ``environment`` adds variables to the process.

    Raises :class:`~sage_infer_conformance.running.process.Died` when the subject takes its process with it.
    """
    job = Job(
        subject=subject,
        commands=tuple(command.model_dump_json() for command in commands),
        leaping_clock=leaping_clock,
    )
    steps: list[str] = []
    variables = {**(environment or {}), "PYTHONHASHSEED": str(hash_seed)}
    with ChildProcess(job, memory_limit_bytes=memory_limit_bytes, environment=variables) as child:
        while True:
            message = child.next_message(step_deadline_s)
            if isinstance(message, Refusal):
                raise error_from_wire(message.error)
            if isinstance(message, Done):
                steps.append(message.step)
            elif isinstance(message, Bye):
                return steps
