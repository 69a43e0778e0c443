"""Carries commands to an embedding backend, on an event loop of this history's own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, cast

from sage_infer_contracts.backend import BackendConfig
from sage_infer_contracts.embedding import EmbeddingBackend
from sage_infer_contracts.launch import BackendContext
from sage_infer_contracts.testing import Subject

from ...history.steps import Raised, carry_out
from .config import config_of
from .steps import (
    About,
    Call,
    Close,
    CloseDuring,
    Count,
    Create,
    Embed,
    EmbeddingStep,
    Outcome,
    Start,
    Together,
)  # fmt: skip
from .vectors import pack

CALL_S = 60.0
"""Until a call must have come to an end."""
AFTER_CLOSE_S = 5.0
"""The same once the backend is closed."""
_REMEMBERED = 4


class EmbeddingDriver:
    """One backend after another. The loop runs while a command is carried out."""

    def __init__(self, subject: Subject, _: str) -> None:
        self._subject = subject
        self._config: BackendConfig | None = None
        self._runner = asyncio.Runner()
        self._backend: EmbeddingBackend | None = None
        self._given: list[tuple[object, Outcome]] = []

    def execute(self, command: object) -> EmbeddingStep:
        """Do ``command``."""
        step = EmbeddingStep(command=command, overwritten=self._overwritten())  # type: ignore[arg-type]  # one of them
        return carry_out(step, lambda begun: self._runner.run(self._do(begun)))

    def close(self) -> None:
        """Close what a history left open."""
        backend, self._backend = self._backend, None
        with contextlib.suppress(Exception):
            if backend is not None:
                self._runner.run(asyncio.wait_for(backend.close(), CALL_S))
        self._given.clear()
        with contextlib.suppress(Exception):
            self._runner.close()

    async def _do(self, step: EmbeddingStep) -> EmbeddingStep:
        command = step.command
        if isinstance(command, Create):
            self._config = config_of(self._subject)
            self._backend = cast(EmbeddingBackend, self._subject.create(self._config, BackendContext()))
            return step
        backend = self._backend
        if backend is None:
            raise RuntimeError("a history begins with 'create'")
        if isinstance(command, Start):
            await backend.start()
            about = await self._about(backend)
            capabilities = tuple(sorted(map(str, backend.capabilities)))
            return step.model_copy(update={"about": about, "capabilities": capabilities})
        if isinstance(command, Count):
            counts = tuple(await backend.count_tokens(list(command.texts)))
            return step.model_copy(update={"counts": counts})
        if isinstance(command, Embed):
            return _with(step, await self._calls(backend, (command.call,)))
        if isinstance(command, Together):
            return _with(step, await self._calls(backend, command.calls))
        if isinstance(command, CloseDuring):
            return await self._close_during(step, backend, command)
        assert isinstance(command, Close)
        await backend.close()
        return step.model_copy(update={"health": (await backend.health()).state})

    async def _about(self, backend: EmbeddingBackend) -> About:
        asked = self._config.dtype if self._config is not None else "auto"
        declared = backend.get_capability().supported_precisions
        return About(
            dimension=backend.get_embedding_dim(),
            max_tokens=backend.get_max_length(),
            precisions=declared if asked == "auto" else (asked,),
            health=(await backend.health()).state,
        )

    async def _calls(self, backend: EmbeddingBackend, calls: tuple[Call, ...]) -> tuple[Outcome, ...]:
        tasks = [asyncio.ensure_future(_call(backend, call)) for call in calls]
        await asyncio.wait(tasks, timeout=CALL_S)
        return tuple(self._outcome(task) for task in tasks)

    async def _close_during(
        self, step: EmbeddingStep, backend: EmbeddingBackend, command: CloseDuring
    ) -> EmbeddingStep:
        tasks = [asyncio.ensure_future(_call(backend, call)) for call in command.calls]
        for _ in range(command.turns):
            await asyncio.sleep(0)
        error = None
        try:
            await backend.close()
        except Exception as raised:  # noqa: BLE001 - recorded beside what became of the calls
            error = Raised.of(raised)
        await asyncio.wait(tasks, timeout=AFTER_CLOSE_S)
        found = _with(step, tuple(self._outcome(task) for task in tasks))
        return found if error is None else found.model_copy(update={"error": error})

    def _outcome(self, task: asyncio.Task[object]) -> Outcome:
        if not task.done():
            task.cancel()
            return Outcome(pending=True)
        if task.cancelled():
            return Outcome(error=Raised(type="CancelledError", message="the caller's own task was cancelled"))
        raised = task.exception()
        if raised is not None:
            return Outcome(error=Raised.of(raised))
        answer = task.result()
        outcome = read_vectors(answer)
        self._given = [*self._given[1 - _REMEMBERED :], (answer, outcome)]
        return outcome

    def _overwritten(self) -> int:
        return sum(read_vectors(answer) != outcome for answer, outcome in self._given)


def _call(backend: EmbeddingBackend, call: Call) -> Coroutine[Any, Any, list[list[float]]]:
    if call.batch_size is None:
        return backend.embed(list(call.texts))
    return backend.embed_batch(list(call.texts), call.batch_size)


def read_vectors(answer: object) -> Outcome:
    """Return what a call gave, as it is recorded."""
    if not isinstance(answer, list):
        return Outcome(malformed=f"a {type(answer).__name__} is given where a list of vectors is due")
    try:
        return Outcome(vectors=tuple(map(pack, answer)))
    except TypeError as error:
        return Outcome(malformed=str(error))


def _with(step: EmbeddingStep, outcomes: tuple[Outcome, ...]) -> EmbeddingStep:
    """Add outcomes; the error of the step is the only call's, or the first that no contract documents."""
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    told = [error for error in errors if error.code is None] or (errors if len(outcomes) == 1 else [])
    return step.model_copy(update={"outcomes": outcomes, "error": told[0] if told else None})
