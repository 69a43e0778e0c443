"""Compares outputs of one prompt: where two part, and whose promise that would break."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import attrs

from .asks import Call, Prompt
from .findings import Outcome
from .steps import BackendStep, Decode, HandOver, Serve

if TYPE_CHECKING:
    from .model import BackendModel


@attrs.frozen(slots=True)
class Suspect:
    """Two greedy outputs of one prompt that part, and whose promise that would break."""

    clauses: frozenset[str]
    prompt_ids: tuple[int, ...]
    tokens: tuple[int, int]
    says: str


@attrs.frozen(slots=True)
class Pair:
    """An output, and the one of the same prompt, alone, that it must agree with."""

    call: Call
    prompt: Prompt
    outcome: Outcome
    before: Outcome
    greedy: bool
    concurrent: bool = False
    moved: bool = False
    """Whether its KV went to another process."""

    @property
    def parts_at(self) -> int | None:
        """Index of the first token in which the two differ; an end is no difference."""
        tokens = self.outcome.tokens
        if self.outcome.finish == "eos":
            tokens = tokens[:-1]  # ignore_eos may forbid the token instead of ignoring it
        pairs = enumerate(zip(tokens, self.before.tokens, strict=False))
        return next((number for number, (a, b) in pairs if a != b), None)

    @property
    def same(self) -> bool:
        """Whether the tokens agree, as far as a cancelled output got."""
        if self.outcome.finish == "cancelled":
            return self.parts_at is None
        return self.outcome.tokens == self.before.tokens

    @property
    def clauses(self) -> frozenset[str]:
        """Whose promise a difference breaks."""
        params = self.call.params
        held = {"IB-01"} if self.greedy else {"IB-11"}
        if params.greedy and (params.seed is not None or params.top_k or params.top_p < 1.0):
            held.add("IB-11")
        if params.min_p == 1.0 and not params.greedy:
            held = {"IB-14"}
        if self.concurrent:
            held.add("IB-12")
        if self.call.split:
            held.add("IB-02")
        if self.moved:
            held.add("IB-07")
        return frozenset(held)

    def says(self) -> str:
        """Tell the difference."""
        at = self.parts_at or 0
        how = "in another process" if self.moved else "by prefill and decode" if self.call.split else "again"
        how += " among others" if self.concurrent else ""
        now, then = (list(one.tokens[at : at + 3]) for one in (self.outcome, self.before))
        return f"{self.prompt.story()} gives {now} from token {at + 1} on {how}, and gave {then} alone"


def pairs_of(model: BackendModel, step: BackendStep) -> Iterator[Pair]:
    """Yield what can be compared in a step."""
    command = step.command
    if isinstance(command, Serve):
        yield from _served(model, command, step)
    elif isinstance(command, (Decode, HandOver)) and step.error is None:
        state = model.states.get(command.state)
        if state is not None and state.fate == "parked" and getattr(command, "forged", None) is None:
            call = Call(name=command.state, prompts=(state.prompt,), params=state.params, split=True)
            for outcome in step.outcomes:
                yield from _pair(model, call, state.prompt, outcome, moved=isinstance(command, HandOver))


def _served(model: BackendModel, command: Serve, step: BackendStep) -> Iterator[Pair]:
    calls = {call.name: call for call in command.calls}
    concurrent = len(step.outcomes) > 1
    for outcome in step.outcomes:
        call = calls[outcome.call]
        at = outcome.index // call.params.n
        if at < len(call.prompts) and outcome.index % call.params.n == 0:
            yield from _pair(model, call, call.prompts[at], outcome, concurrent=concurrent)


def _pair(
    model: BackendModel,
    call: Call,
    prompt: Prompt,
    outcome: Outcome,
    *,
    concurrent: bool = False,
    moved: bool = False,
) -> Iterator[Pair]:
    params = call.params.model_copy(update={"n": 1})
    greedy = params.greedy or params.min_p == 1.0
    free = model.free.get(model.greedy_key(prompt, params)) if greedy else None
    before = free or model.known.get(model.exact_key(prompt, params))
    if before is not None and outcome.finish is not None:
        yield Pair(call, prompt, outcome, before, greedy, concurrent, moved)


def suspects_of(model: BackendModel, step: BackendStep) -> list[Suspect]:
    """Return the greedy outputs that part from what is known: excused by a near tie, or by nothing."""
    found = []
    for pair in pairs_of(model, step):
        at = pair.parts_at
        if pair.greedy and at is not None:
            prefix = (*pair.outcome.prompt_ids, *pair.outcome.tokens[:at])
            tokens = (pair.before.tokens[at], pair.outcome.tokens[at])
            found.append(Suspect(pair.clauses, prefix, tokens, pair.says()))
    return found
