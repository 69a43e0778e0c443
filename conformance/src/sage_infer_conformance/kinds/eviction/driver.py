"""Carries commands to a policy: names become keys, and measurements are taken on policies of their own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import cast

from sage_infer_contracts.content import ContentKey
from sage_infer_contracts.eviction import BlockInfo, EvictionPolicy
from sage_infer_contracts.testing import Subject

from ...history.steps import carry_out
from ...running.again import play_again
from .measures import event_costs, state_bytes
from .steps import Admit, Answer, Create, EvictionStep, MeasureCost, MeasureState, Replay, Victims


class EvictionDriver:
    """One policy after another; a new ``create`` drops the last."""

    def __init__(self, subject: Subject, name: str) -> None:
        self._subject = subject
        self._name = name
        self._policy: EvictionPolicy | None = None
        self._names: dict[ContentKey, str] = {}
        self._done: list[EvictionStep] = []

    def execute(self, command: object) -> EvictionStep:
        """Do ``command``."""
        step = EvictionStep(command=command)  # type: ignore[arg-type]  # the caller read it as one of the union
        found = carry_out(step, self._do)
        self._done.append(found)
        return found

    def close(self) -> None:
        """Drop the policy."""
        self._policy = None
        self._done.clear()

    def _make(self, capacity_blocks: int) -> EvictionPolicy:
        return cast(EvictionPolicy, self._subject.create(capacity_blocks, **self._subject.options))

    def _do(self, step: EvictionStep) -> EvictionStep:
        command = step.command
        if isinstance(command, Create):
            self._policy = self._make(command.capacity_blocks)
        elif isinstance(command, MeasureCost):
            costs = event_costs(self._make, command.capacities, command.shape, command.events)
            return step.model_copy(update={"costs": costs})
        elif isinstance(command, MeasureState):
            sizes = state_bytes(self._make, command.work, command.capacity_blocks, command.rounds)
            return step.model_copy(update={"state_bytes": sizes})
        elif isinstance(command, Replay):
            return step.model_copy(update={"replayed": self._again(command)})
        elif self._policy is None:
            raise RuntimeError("a history begins with 'create'")
        elif isinstance(command, Admit):
            self._policy.admit(self._block(command))
        elif isinstance(command, Victims):
            return step.model_copy(update={"victims": self._victims(self._policy, command.count)})
        else:
            event: Callable[[ContentKey], None] = getattr(self._policy, command.op)
            event(self._key(command.key))
        return step

    def _block(self, command: Admit) -> BlockInfo:
        facts = command.model_dump(exclude={"op", "key", "parent"})
        parent = None if command.parent is None else self._key(command.parent)
        return BlockInfo(key=self._key(command.key), parent=parent, **facts)

    def _key(self, name: str) -> ContentKey:
        key = ContentKey(hashlib.sha256(name.encode()).digest())
        self._names[key] = name
        return key

    def _victims(self, policy: EvictionPolicy, count: int) -> Answer:
        keys = policy.victims(count)
        if keys is None:
            return Answer()
        return Answer(keys=tuple(self._names.get(key, f"unknown {bytes(key).hex()[:12]}") for key in keys))

    def _again(self, command: Replay) -> tuple[Answer, ...]:
        asked = [
            step for step in self._done if step.command.op not in ("replay", "measure_cost", "measure_state")
        ]
        if command.without_refusals:
            asked = [step for step in asked if step.victims is None or step.victims.keys is not None]
        lines = play_again(
            self._name, [step.command for step in asked], hash_seed=command.hash_seed, leaping_clock=True
        )
        steps = (EvictionStep.model_validate_json(line) for line in lines)
        return tuple(step.victims for step in steps if step.victims is not None)
