"""Carries commands to a backend, on an event loop of this history's own that runs while a command is carried out."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from pathlib import Path
from typing import cast

from sage_infer_contracts.backend import InferenceBackend
from sage_infer_contracts.errors import SageInferError, Unsupported
from sage_infer_contracts.launch import BackendContext
from sage_infer_contracts.states import DecodeState, KVExport
from sage_infer_contracts.testing import Subject

from ...history.steps import Raised, carry_out
from ...running.again import play_again
from . import closing, measures, parked
from .asks import Settings
from .config import Recipe
from .findings import About, Part
from .prompts import Prompts
from .serving import Serving
from .steps import (
    BackendStep,
    CancelParked,
    Close,
    Contend,
    Create,
    Decode,
    Expire,
    HandOver,
    Open,
    Prefill,
    Quantise,
    Release,
    Serve,
    ShowTie,
    TakeOver,
    TimeReuse,
)  # fmt: skip
from .waiting import MEMORY_LIMIT_BYTES, START_S, settled, within


class BackendDriver:
    """One instance after another; states outlive the instance that gave them, so that they can be foreign."""

    def __init__(self, subject: Subject, name: str) -> None:
        self._subject = subject
        self._name = name
        self._recipe: Recipe | None = None
        self._runner = asyncio.Runner()
        self._backend: InferenceBackend | None = None
        self._settings = Settings()
        self._states: dict[str, parked.Parked] = {}
        self._idle_held = 0
        self._possessions = closing.Possessions.now()
        self._files: int | None = None

    def execute(self, command: object) -> BackendStep:
        """Do ``command``."""
        step = BackendStep(command=command)  # type: ignore[arg-type]  # the caller read it as one of the union
        return carry_out(step, lambda begun: self._runner.run(self._do(begun)))

    def close(self) -> None:
        """Close what a history left open."""
        backend, self._backend = self._backend, None
        with contextlib.suppress(Exception):
            if backend is not None:
                self._runner.run(within(backend.close(), closing.CLOSE_S))
        self._states.clear()
        with contextlib.suppress(Exception):
            self._runner.close()

    async def _do(self, step: BackendStep) -> BackendStep:
        command = step.command
        if isinstance(command, (Open, Create)):
            return await self._open(step, command)
        if self._backend is None and isinstance(command, Close):
            return step  # there is none: it could not even be made
        if self._backend is None:
            raise RuntimeError("there is no instance; a history begins with 'open'")
        if isinstance(command, Serve):
            return await self._serve(step, self._backend, command)
        if isinstance(command, Quantise):
            self._backend.load_quant_profile(command.profile)
            return step
        if isinstance(command, ShowTie):
            found = await measures.tie(self._backend, command.prompt_ids, command.tokens, command.epsilon)
            return step.model_copy(update={"tie": found})
        if isinstance(command, TimeReuse):
            prompts = Prompts(self._backend)
            timing = await measures.time_reuse(
                self._backend, prompts, command.text, command.tokens, command.rounds
            )
            return step.model_copy(update={"timing": timing, "computed_ids": prompts.known()})
        if isinstance(command, Close):
            return await self._close(step, self._backend, command)
        return await self._about_states(step, self._backend)

    async def _open(self, step: BackendStep, command: Open | Create) -> BackendStep:
        if self._recipe is None:
            self._recipe = Recipe.of(self._subject)
        self._settings = command.settings if isinstance(command, Open) else Settings()
        config = self._recipe.config(self._settings)
        self._possessions = closing.Possessions.now()
        self._backend = None
        backend = cast(InferenceBackend, self._subject.create(config, BackendContext()))
        self._backend = backend
        if isinstance(command, Create):
            return step
        await within(backend.start(), START_S)
        about = await self._describe(backend, config.dtype)
        self._idle_held = about.stats.blocks_held
        return step.model_copy(
            update={"about": about, "capabilities": tuple(sorted(map(str, backend.capabilities)))}
        )

    async def _describe(self, backend: InferenceBackend, configured: str) -> About:
        descriptor, schema = backend.get_capability(), None
        with contextlib.suppress(Unsupported):
            schema = backend.get_kv_schema()
        own = schema.dtype if schema is not None else descriptor.supported_precisions[0]
        computing = own if own in descriptor.supported_precisions else descriptor.supported_precisions[0]
        return About(
            max_batch_size=descriptor.max_batch_size,
            max_sequence_length=descriptor.max_sequence_length,
            max_waiting_requests=descriptor.max_waiting_requests,
            capacity_bytes=round(descriptor.kv_cache_capacity_gb * 1e9),
            dtype=computing if configured == "auto" else configured,  # type: ignore[arg-type]
            schema_=schema,
            schemas_agree=schema == descriptor.kv_schema,
            stats=await backend.stats(),
            health=(await backend.health()).state,
        )

    async def _serve(self, step: BackendStep, backend: InferenceBackend, command: Serve) -> BackendStep:
        before = await backend.stats()
        serving = Serving(backend, Prompts(backend), before.blocks_held)
        outcomes = await serving.run(command.calls)
        counted = sum(o.usage.prompt for o in outcomes if o.usage is not None and o.cancelled is None)
        after = await settled(backend, before, prompt_tokens=counted)
        found = {
            "outcomes": outcomes, "before": before, "after": after, "most_running": serving.most_running,
            "decode_computed": serving.decode_computed,
        }  # fmt: skip
        return step.model_copy(update=found)

    async def _close(self, step: BackendStep, backend: InferenceBackend, command: Close) -> BackendStep:
        self._backend = None
        found = await closing.close_watched(
            backend, Prompts(backend), command.pending, self._possessions, at_once=command.at_once
        )
        del backend
        files = closing.open_files()
        grown = 0 if self._files is None else max(0, files - self._files)
        self._files = files if self._files is None else self._files
        return step.model_copy(update={"closing": found.model_copy(update={"open_files": grown})})

    async def _about_states(self, step: BackendStep, backend: InferenceBackend) -> BackendStep:
        command, before = step.command, await backend.stats()
        if isinstance(command, Prefill):
            found = await self._prefill(step, backend, command)
            after = await backend.stats()
        elif isinstance(command, Decode):
            found = await self._decode(step, backend, command)
            after = await settled(backend, before, held=max(self._idle_held, before.blocks_held - 1))
        elif isinstance(command, Contend):
            found = await self._contend(step, backend, command)
            after = await settled(backend, before, held=max(self._idle_held, before.blocks_held - 1))
        elif isinstance(command, HandOver):
            found = await self._hand_over(step, backend, command)
            after = await settled(backend, before, held=max(self._idle_held, before.blocks_held - 1))
        elif isinstance(command, TakeOver):
            found = await self._take_over(step, backend, command)
            after = await settled(backend, before)
        elif isinstance(command, Release):
            await within(backend.release(self._state(command.state, command.forged)))
            found, after = (
                step,
                await settled(backend, before, held=max(self._idle_held, before.blocks_held - 1)),
            )
        elif isinstance(command, CancelParked):
            found = step.model_copy(update={"said": await within(backend.cancel(command.request))})
            after = await settled(backend, before, held=self._idle_held if found.said else None)
        else:
            assert isinstance(command, Expire)
            state = self._states[command.state].state
            await parked.await_expiry(backend, state, self._settings.lease_s, self._idle_held)
            found, after = step, await settled(backend, before, held=self._idle_held)
        return found.model_copy(update={"before": before, "after": after})

    async def _prefill(self, step: BackendStep, backend: InferenceBackend, command: Prefill) -> BackendStep:
        prompts = Prompts(backend)
        ids = [await prompts.ids(prompt) for prompt in command.prompts]
        result = await within(backend.prefill(ids, request_id=command.name, params=command.params))
        kept = parked.keep(result)
        self._states.update(kept)
        return step.model_copy(update={"states": tuple(kept), "computed_ids": tuple(ids)})

    def _state(self, name: str, forged: Part | None) -> DecodeState:
        if name not in self._states:
            raise RuntimeError(f"no prefill gave a state called {name}")
        return parked.forge(self._states[name].state, forged)

    async def _decode(self, step: BackendStep, backend: InferenceBackend, command: Decode) -> BackendStep:
        state = self._state(command.state, command.forged)
        name = f"decode-{command.state}"
        before = (await backend.stats()).computed_tokens
        result = await within(backend.decode(state, request_id=name))
        deltas = [self._states[command.state].first, *await parked.collect(result.stream)]
        outcome = parked.outcome_of(name, state, deltas)
        computed = (await backend.stats()).computed_tokens - before
        return step.model_copy(update={"outcomes": (outcome,), "decode_computed": computed})

    async def _contend(self, step: BackendStep, backend: InferenceBackend, command: Contend) -> BackendStep:
        state = self._state(command.state, None)
        calls = [within(backend.decode(state, request_id=f"{command.state}-{name}")) for name in "ab"]
        results = await asyncio.gather(*calls, return_exceptions=True)
        errors = [Raised.of(result) for result in results if isinstance(result, BaseException)]
        for result in results:
            if not isinstance(result, BaseException):
                await parked.collect(result.stream)
        error = errors[0] if errors else None
        return step.model_copy(update={"winners": len(results) - len(errors), "error": error})

    async def _take_over(
        self, step: BackendStep, backend: InferenceBackend, command: TakeOver
    ) -> BackendStep:
        state = DecodeState.model_validate_json(command.parked)
        exported = KVExport.model_validate_json(command.export)
        own = await within(backend.import_kv(exported, state))
        before = (await backend.stats()).computed_tokens
        result = await within(backend.decode(own, request_id="taken-over"))
        outcome = parked.outcome_of("taken-over", state, await parked.collect(result.stream))
        computed = (await backend.stats()).computed_tokens - before
        return step.model_copy(update={"outcomes": (outcome,), "decode_computed": computed})

    async def _hand_over(
        self, step: BackendStep, backend: InferenceBackend, command: HandOver
    ) -> BackendStep:
        held = self._states[command.state]
        with tempfile.TemporaryDirectory(prefix="conformance-kv-") as folder:
            exported = await parked.export(backend, held.state, Path(folder))
            step = step.model_copy(
                update={
                    "bytes_written": exported.bytes_written,
                    "bytes_claimed": exported.export.num_bytes,
                    "tokens_claimed": exported.export.num_tokens,
                    "checksum_right": exported.checksum_right,
                    "schema_right": exported.schema_right,
                }
            )
            if command.damage is not None:
                return await self._import_damaged(step, backend, held.state, exported.export, command.damage)
            error, other = self._elsewhere(held.state, exported.export)
        if error is not None:
            return step.model_copy(update={"error": error})
        (rest,) = other.outcomes
        first = parked.outcome_of(command.state, held.state, [held.first])
        whole = rest.model_copy(update={"deltas": (*first.deltas, *rest.deltas)})
        found = {"outcomes": (whole,), "decode_computed": other.decode_computed}
        return step.model_copy(update=found)

    def _elsewhere(self, state: DecodeState, export: KVExport) -> tuple[Raised | None, BackendStep]:
        """Import and decode in another process; return what went wrong there, and the step of the decode."""
        take_over = TakeOver(export=export.model_dump_json(), parked=state.model_dump_json())
        lines = play_again(
            self._name,
            [Open(settings=self._settings), take_over, Close()],
            step_deadline_s=START_S,
            memory_limit_bytes=MEMORY_LIMIT_BYTES,
        )
        steps = [BackendStep.model_validate_json(line) for line in lines]
        return next((step.error for step in steps[:2] if step.error is not None), None), steps[1]

    async def _import_damaged(
        self, step: BackendStep, backend: InferenceBackend, state: DecodeState, export: KVExport, how: str
    ) -> BackendStep:
        damaged = parked.damage(export, how)
        try:
            await within(backend.import_kv(damaged, state))
        except SageInferError as error:
            return step.model_copy(update={"error": Raised.of(error)})
        return step
