"""Carries commands to a hybrid backend. Loads and unloads, which may block, run on threads beside the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import time
from typing import Any, cast

from sage_infer_contracts.errors import InvalidRequest
from sage_infer_contracts.hybrid import HybridInferenceBackend
from sage_infer_contracts.testing import Subject

from ...history.steps import Raised, carry_out
from . import requests
from .catalogue import Catalogue
from .memory import MemoryWatch
from .requests import Running
from .steps import (
    Ask,
    AskStatus,
    Calibrate,
    Create,
    HybridStep,
    Load,
    Loaded,
    Memory,
    Seen,
    Unload,
    UnloadDuring,
    Wanted,
)  # fmt: skip

LOAD_S = 240.0


class HybridDriver:
    """One hybrid after another. The loop runs while a command is carried out."""

    def __init__(self, subject: Subject, _: str) -> None:
        self._subject = subject
        self._catalogue: Catalogue | None = None
        self._runner = asyncio.Runner()
        self._hybrid: HybridInferenceBackend | None = None
        self._calibrated = False

    def execute(self, command: object) -> HybridStep:
        """Do ``command``."""
        step = HybridStep(command=command)  # type: ignore[arg-type]  # the caller read it as one of the union
        return self._with_look(carry_out(step, lambda begun: self._runner.run(self._do(begun))))

    def close(self) -> None:
        """End what a history left open."""
        with contextlib.suppress(Exception):
            self._runner.run(self._end())
        with contextlib.suppress(Exception):
            self._runner.close()

    async def _do(self, step: HybridStep) -> HybridStep:
        command = step.command
        if isinstance(command, Create):
            return await self._create(step, command)
        hybrid = self._hybrid
        if hybrid is None:
            raise RuntimeError("a history begins with 'create'")
        if isinstance(command, Calibrate):
            self._calibrated = True
            gc.collect()
            with MemoryWatch() as watch:
                pass
            return step.model_copy(update={"memory": watch.memory})
        if isinstance(command, AskStatus):
            return step.model_copy(update={"state": hybrid.get_model_status(command.model).state})
        if not self._calibrated:  # there is nothing yet that the memory could be held against
            return await self._change(step, hybrid)
        with MemoryWatch() as watch:
            found = await self._change(step, hybrid)
        return found.model_copy(update={"memory": _rounded(watch.memory)})

    async def _change(self, step: HybridStep, hybrid: HybridInferenceBackend) -> HybridStep:
        command = step.command
        if isinstance(command, Load):
            errors = await asyncio.gather(*(self._load(hybrid, wanted) for wanted in command.models))
            told = [
                error for error in errors if error is not None and (len(errors) == 1 or error.code is None)
            ]
            return step.model_copy(update={"errors": tuple(errors), "error": told[0] if told else None})
        if isinstance(command, Unload):
            error = await self._unload(hybrid, command.model)
            return step.model_copy(update={"error": error})
        if isinstance(command, UnloadDuring):
            return await self._unload_during(step, hybrid, command)
        assert isinstance(command, Ask)
        running = Running(hybrid, command.requests)
        await running.wait()
        return requests.with_answers(step, running.answers())

    async def _create(self, step: HybridStep, command: Create) -> HybridStep:
        await self._end()
        self._catalogue = catalogue = Catalogue.of(self._subject)
        total = catalogue.room_for(command.llms, command.embeddings)
        self._hybrid = cast(
            HybridInferenceBackend, self._subject.create(total_memory_bytes=total, **catalogue.options)
        )
        await _if_there(self._hybrid, "start")
        capabilities = tuple(sorted(map(str, self._hybrid.capabilities)))
        return step.model_copy(update={"about": catalogue.about, "capabilities": capabilities})

    async def _load(self, hybrid: HybridInferenceBackend, wanted: Wanted) -> Raised | None:
        assert self._catalogue is not None
        descriptor = self._catalogue.descriptor(wanted)
        try:
            await asyncio.wait_for(asyncio.to_thread(hybrid.load_model, descriptor), LOAD_S)
            await self._settle(hybrid, wanted.name, "loading")
        except Exception as error:  # noqa: BLE001 - recorded
            return Raised.of(error)
        return None

    async def _unload(self, hybrid: HybridInferenceBackend, name: str) -> Raised | None:
        try:
            await asyncio.wait_for(asyncio.to_thread(hybrid.unload_model, name), LOAD_S)
            await self._settle(hybrid, name, "draining")
        except Exception as error:  # noqa: BLE001 - recorded
            return Raised.of(error)
        return None

    async def _settle(self, hybrid: HybridInferenceBackend, name: str, passing: str) -> None:
        """Wait while a model is in a state that passes: either call may return before it is over."""
        until = time.monotonic() + LOAD_S
        while time.monotonic() < until:
            try:
                state = hybrid.get_model_status(name).state
            except InvalidRequest:
                return
            if state != passing:
                return
            await asyncio.sleep(0.01)

    async def _unload_during(
        self, step: HybridStep, hybrid: HybridInferenceBackend, command: UnloadDuring
    ) -> HybridStep:
        running = Running(hybrid, command.requests)
        await running.until(command.after_tokens, command.turns)
        unload = asyncio.ensure_future(self._unload(hybrid, command.model))
        for _ in range(command.turns):
            await asyncio.sleep(0.001)
        late = Running(hybrid, command.late)
        await asyncio.gather(running.wait(), late.wait())
        error = await unload
        found = requests.with_answers(step, (*running.answers(), *late.answers()))
        return found if error is None else found.model_copy(update={"error": error})

    def _with_look(self, step: HybridStep) -> HybridStep:
        """Add what the hybrid says of itself; an error in that is the step's, unless it has one."""
        if self._hybrid is None:
            return step
        try:
            return step.model_copy(update={"seen": _look(self._hybrid)})
        except Exception as error:  # noqa: BLE001 - recorded
            return step if step.error is not None else step.model_copy(update={"error": Raised.of(error)})

    async def _end(self) -> None:
        """Close the hybrid, or unload all it holds where it cannot be closed."""
        hybrid, self._hybrid = self._hybrid, None
        if hybrid is None:
            return
        with contextlib.suppress(Exception):
            if not await _if_there(hybrid, "close"):
                for model in hybrid.list_models():
                    await asyncio.wait_for(asyncio.to_thread(hybrid.unload_model, model.model_id), LOAD_S)


async def _if_there(hybrid: object, name: str) -> bool:
    """Call ``start`` or ``close``, which a hybrid may have; False if it has not."""
    method: Any = getattr(hybrid, name, None)
    if method is None:
        return False
    done = method()
    if inspect.isawaitable(done):
        await asyncio.wait_for(done, LOAD_S)
    return True


def _look(hybrid: HybridInferenceBackend) -> Seen:
    capability = hybrid.get_hybrid_capability()
    models = []
    for model in hybrid.list_models():
        status = hybrid.get_model_status(model.model_id)
        models.append(
            Loaded(
                name=model.model_id,
                type=model.model_type,
                budget_bytes=round(model.memory_gb * 1e9),
                state=status.state,
                held_bytes=status.memory_bytes,
            )
        )
    return Seen(
        models=tuple(models),
        total_bytes=round(capability.total_memory_gb * 1e9),
        available_bytes=round(capability.available_memory_gb * 1e9),
    )


def _rounded(memory: Memory) -> Memory:
    """Leave out what is noise, so that recorded histories read well."""
    return Memory.model_validate({name: value >> 12 << 12 for name, value in memory})
