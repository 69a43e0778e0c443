"""Judges histories step by step, and adds up what was found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import attrs

from sage_infer_contracts.certification import ClauseResult, Verdict, Witness
from sage_infer_contracts.clauses import CLAUSES

from ..history.files import Header, dump
from ..history.steps import Output, Raised, Residue, Step
from .rules import Check, Model, Rule, Stated

_STORY_STEPS = 24
_KEPT_STEPS_OF_PROCESS = 2000
"""What is kept of all that one process played, to show and to replay what only its whole output tells."""


@attrs.define(slots=True)
class _Tally:
    counts: Literal["checks", "steps"] = "checks"
    held: int = 0
    refused: int = 0
    witness: Witness | None = None


@attrs.define(slots=True)
class Case:
    """One history under judgement: the steps so far and the model they lead to."""

    header: Header
    model: Model
    steps: list[Step] = attrs.field(factory=list)


class Docket:
    """All findings of one run. Fed by one thread, a case at a time.

    Of the histories that break a clause the shortest is kept; of two that are as long, the first, or with ``latest``
    the last, which is the simpler one while Hypothesis shrinks.
    """

    def __init__(self, rules: Sequence[Rule], stated: Sequence[Stated] = (), *, latest: bool = False) -> None:
        self._rules = tuple(rules)
        self._stated = tuple(stated)
        self._latest = latest
        self._tallies = {rule.clause: _Tally(rule.counts) for rule in rules}
        self._of_steps = [(rule.judge, self._tallies[rule.clause]) for rule in rules if rule.of == "step"]
        self._fatal: str | None = None
        self._process_steps = 0
        self._process_may_print_bytes = 0
        self._process_cases: list[Case] = []
        self.capabilities: set[str] = set()
        self.histories = 0
        self.steps = 0

    def open(self, header: Header, model: Model) -> Case:
        """Begin a history."""
        self.histories += 1
        case = Case(header, model)
        if self._process_steps < _KEPT_STEPS_OF_PROCESS:
            self._process_cases.append(case)
        return case

    def add(self, case: Case, step: Step) -> bool:
        """Judge ``step`` and take it into the history; True if a rule is broken by it."""
        self.steps += 1
        self._process_steps += 1
        self._process_may_print_bytes += step.asked.may_print_bytes
        case.steps.append(step)
        self.capabilities.update(step.capabilities or ())
        broken = False
        for judge, tally in self._of_steps:
            found = judge(case.model, step)
            broken = self._count(tally, found, [case], counted=step.asked.counted) or broken
        if step.error is not None and step.error.fate is not None and self._fatal is None:
            self._fatal = f"{case.header.scenario}: {step.story()}"
        case.model.apply(step)
        return broken

    def close(self, case: Case, residue: Residue) -> bool:
        """End a history and judge what it left behind; True if a rule is broken by that."""
        broken = False
        for rule in self._rules:
            if rule.of == "history":
                broken = (
                    self._count(self._tallies[rule.clause], rule.judge(case.model, residue), [case]) or broken
                )
        return broken

    def end_process(self, output_bytes: int, tail: bytes) -> None:
        """Judge what a process printed while it played."""
        output = Output(
            bytes=output_bytes,
            steps=self._process_steps,
            allowed_bytes=self._process_may_print_bytes,
            tail=tail[-200:].decode(errors="replace"),
        )
        cases = [case for case in self._process_cases if case.steps]
        self._process_steps, self._process_may_print_bytes, self._process_cases = 0, 0, []
        for rule in self._rules:
            if rule.of == "process":
                self._count(self._tallies[rule.clause], rule.judge(None, output), cases)

    def note_death(self, how: Raised) -> None:
        """Take note of a process that died outside any step."""
        self._fatal = self._fatal or f"outside a step: {how}"
        self._count(self._tallies["PK-04"], [Check(f"the subject took its process with it: {how}")], ())

    def enter(self, clause: str, found: Iterable[Check]) -> None:
        """Add findings about the installed package, which no history shows."""
        self._count(self._tallies[clause], found, ())

    def state(self, items: Iterable[Stated]) -> None:
        """Take note of clauses that this run says nothing about; of those that it judges the verdict stands."""
        self._stated = (*self._stated, *items)

    def clauses(self) -> tuple[str, ...]:
        """Return every clause that may get a verdict."""
        return tuple(dict.fromkeys([*self._tallies, *(item.clause for item in self._stated)]))

    def is_broken(self, clause: str) -> bool:
        """Say whether a history was found that breaks ``clause``."""
        return clause in self._tallies and self._tallies[clause].witness is not None

    def broken_clauses(self) -> tuple[str, ...]:
        """Return every clause that was found broken, in the order of the rules."""
        return tuple(clause for clause in self._tallies if self.is_broken(clause))

    def absorb(self, other: Docket) -> None:
        """Add the findings of another run of the same rules."""
        for clause, tally in other._tallies.items():
            mine = self._tallies[clause]
            mine.held += tally.held
            mine.refused += tally.refused
            if tally.witness is not None and (mine.witness is None or tally.witness.step < mine.witness.step):
                mine.witness = tally.witness
        self._fatal = self._fatal or other._fatal
        self.capabilities |= other.capabilities
        self.histories += other.histories
        self.steps += other.steps

    def results(self, *, floors: bool = True) -> tuple[ClauseResult, ...]:
        """Return the verdict on each clause, in the order of the rules; ``floors`` off asks for no minimum."""
        rules = [rule for rule in self._rules if rule.of != "recipe" or self._came_up(rule.clause)]
        found = [self._result(rule, floors) for rule in rules]
        tested = {rule.clause for rule in rules}
        return (*found, *(_stated(item) for item in self._stated if item.clause not in tested))

    def _came_up(self, clause: str) -> bool:
        tally = self._tallies[clause]
        return bool(tally.held) or tally.witness is not None

    def _result(self, rule: Rule, floors: bool) -> ClauseResult:
        tally = self._tallies[rule.clause]
        verdict, reason = _verdict(tally, rule, floors)
        if verdict == "thin" and self._fatal is not None:
            verdict, reason = "error", f"cut short: {self._fatal}"
        return ClauseResult(
            clause=rule.clause,
            level=rule.promise.level,
            proof=rule.proof,
            verdict=verdict,
            evaluations=tally.held,
            refusals=tally.refused,
            floor=rule.floor,
            reason=reason,
            witness=tally.witness,
        )

    def _count(
        self, tally: _Tally, found: Iterable[Check], cases: Sequence[Case], *, counted: bool = True
    ) -> bool:
        """Add findings up; True if one of them says that the clause is broken."""
        findings = list(found)
        says = next((one.says for one in findings if one.says is not None), None)
        if says is not None:
            self._keep(tally, cases, says)
        refused = sum(one.refused for one in findings)
        held = len(findings) - refused
        if tally.counts == "steps":
            refused, held = min(refused, 1), min(held, 1)
        if counted:
            tally.refused += refused
            tally.held += held
        return says is not None

    def _keep(self, tally: _Tally, cases: Sequence[Case], says: str) -> None:
        """Keep the history, unless a shorter one is known that breaks the clause."""
        at = max(0, sum(len(case.steps) for case in cases) - 1)
        known = tally.witness
        if known is None or at < known.step or (self._latest and at == known.step):
            tally.witness = _witness(cases, says, at)


def _witness(cases: Sequence[Case], says: str, at: int) -> Witness:
    if not cases:
        return Witness(scenario="outside any history", says=says, step=at, story=())
    scenario = cases[0].header.scenario if len(cases) == 1 else f"{len(cases)} histories in one process"
    story = tell([step for case in cases for step in case.steps])
    lines = [line for case in cases for line in dump(case.header, case.steps)]
    return Witness(scenario=scenario, says=says, step=at, story=tuple(story), history=tuple(lines))


def tell(steps: Sequence[Step]) -> list[str]:
    """Return the last steps as numbered lines."""
    first = max(0, len(steps) - _STORY_STEPS)
    head = [f"({first} steps before)"] if first else []
    return head + [f"{number}. {step.story()}" for number, step in enumerate(steps[first:], start=first + 1)]


def _verdict(tally: _Tally, rule: Rule, floors: bool) -> tuple[Verdict, str | None]:
    if tally.witness is not None:
        return "violated", None
    if tally.refused and not tally.held:
        return "refused", None
    if not floors and not tally.held:
        return "thin", "nothing that it speaks of came up"
    if floors and tally.held < rule.floor:
        return "thin", f"evaluated {tally.held} times, {rule.floor} are needed"
    return "held", None


def _stated(item: Stated) -> ClauseResult:
    level = CLAUSES[item.clause].level
    return ClauseResult(
        clause=item.clause, level=level, proof="stated", verdict=item.verdict, reason=item.reason
    )
