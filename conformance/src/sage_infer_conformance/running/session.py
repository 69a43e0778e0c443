"""One run: plan the parts, have children play them, judge every step as it comes."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator

import attrs

from sage_infer_contracts.certification import Mode, SubjectFacts
from sage_infer_contracts.errors import error_from_wire
from sage_infer_contracts.testing import SubjectKind

from ..history.files import Header
from ..history.steps import Raised, Residue
from ..judging.docket import Case, Docket
from ..judging.package import PACKAGE_RULES
from ..kinds.suite import Scenario, Suite
from ..kinds.table import suite_of
from .messages import Begin, Bye, Doing, Done, End, Hello, Job, Part, Refusal
from .process import ChildProcess, Died

_START_S = 120.0
_DEATHS_PER_SCENARIO = 3

Progress = Callable[[str], None]


@attrs.frozen(slots=True)
class Order:
    """What a user asked for. ``examples_percent`` scales the number of histories."""

    subject: str
    kind: SubjectKind | None = None
    mode: Mode = "certify"
    seed: int = 0
    scenarios: tuple[str, ...] = ()
    examples_percent: int = 100
    until_broken: str | None = None
    """Stop once this clause is found broken: enough for a mutant, never for a certificate."""


@attrs.define(slots=True)
class Outcome:
    """What a run found."""

    facts: SubjectFacts
    suite: Suite
    docket: Docket
    seconds: float = 0.0


def run(order: Order, progress: Progress = lambda _: None) -> Outcome:
    """Judge one subject.

    Raises an error of the family when the subject cannot be found or imported; whatever it does later is a verdict.
    """
    return _Session(order, progress).run()


class _Session:
    """One run in the making. Owned by the calling thread."""

    def __init__(self, order: Order, progress: Progress) -> None:
        self._order = order
        self._progress = progress
        self._case: Case | None = None
        self._pending: str | None = None
        self._outcome: Outcome | None = None

    def run(self) -> Outcome:
        """Ask what the subject is, then play every scenario."""
        began = time.monotonic()
        facts = self._ask()
        suite = suite_of(facts.kind)  # type: ignore[arg-type]  # the child validated it
        rules = (*suite.rules, *PACKAGE_RULES)
        outcome = self._outcome = Outcome(facts, suite, Docket(rules, suite.stated))
        scenarios = [s for s in suite.scenarios if not self._order.scenarios or s.name in self._order.scenarios]
        self._play(scenarios)
        outcome.seconds = time.monotonic() - began
        return outcome

    def _ask(self) -> SubjectFacts:
        with self._child(()) as child:
            try:
                message = child.next_message(_START_S)
            except Died as death:
                raise error_from_wire({"code": "plugin_load_error", "message": f"{self._order.subject}: {death.how}"}) from death
        if isinstance(message, Refusal):
            raise error_from_wire(message.error)
        assert isinstance(message, Hello)  # noqa: S101 - a child says nothing else first
        return message.facts

    def _child(self, parts: tuple[Part, ...], memory_limit_bytes: int = 2 * 1024**3) -> ChildProcess:
        order = self._order
        job = Job(subject=order.subject, kind=order.kind, mode=order.mode, parts=parts)
        return ChildProcess(job, memory_limit_bytes=memory_limit_bytes, environment={"PYTHONHASHSEED": "0"})

    def _play(self, scenarios: list[Scenario]) -> None:
        """Play all scenarios in one child; after a death, go on in the next with what is left."""
        left = {s.name: max(1, s.examples(self._order.mode) * self._order.examples_percent // 100) for s in scenarios}
        deaths = dict.fromkeys(left, 0)
        while parts := tuple(self._parts(left, deaths)):
            dead = self._play_parts(parts, left)
            if dead is None:
                return
            deaths[dead] += 1
            if deaths[dead] >= _DEATHS_PER_SCENARIO or self._order.mode == "develop":
                left[dead] = 0

    def _parts(self, left: dict[str, int], deaths: dict[str, int]) -> Iterator[Part]:
        for name, examples in left.items():
            if examples > 0:
                seed = derive_seed(self._order.seed, name, deaths[name])
                yield Part(scenario=name, seed=seed, examples=examples)

    def _play_parts(self, parts: tuple[Part, ...], left: dict[str, int]) -> str | None:
        """Play until the end or a death; return the scenario in which the child died."""
        outcome = self._outcome
        assert outcome is not None  # noqa: S101 - set before anything is played
        current = parts[0].scenario
        deadline_s = _START_S
        with self._child(parts, outcome.suite.memory_limit_bytes) as child:
            try:
                while not isinstance(message := child.next_message(deadline_s), Bye):
                    deadline_s = outcome.suite.step_deadline_s
                    if isinstance(message, Begin):
                        current = parts[message.part].scenario
                        left.update({part.scenario: 0 for part in parts[: message.part]})
                        left[current] -= 1
                        if self._enough():
                            left.clear()
                            return None
                        self._begin(current, message.example)
                    else:
                        self._take(message)
            except Died as death:
                self._bury(death.how)
                return current
            finally:
                outcome.docket.end_process(child.output_bytes, child.output_tail)
        return None

    def _enough(self) -> bool:
        wanted, outcome = self._order.until_broken, self._outcome
        return wanted is not None and outcome is not None and outcome.docket.is_broken(wanted)

    def _begin(self, scenario: str, example: int) -> None:
        outcome = self._outcome
        assert outcome is not None  # noqa: S101
        self._progress(f"{scenario} {example + 1}")
        header = Header(kind=outcome.suite.kind, subject=self._order.subject, scenario=scenario)
        self._case = outcome.docket.open(header, outcome.suite.make_model())

    def _take(self, message: object) -> None:
        outcome = self._outcome
        assert outcome is not None  # noqa: S101
        if isinstance(message, Doing):
            self._pending = message.command
        elif isinstance(message, Done) and self._case is not None:
            self._pending = None
            outcome.docket.add(self._case, outcome.suite.step_type.model_validate_json(message.step))
        elif isinstance(message, End) and self._case is not None:
            self._end(message.residue)

    def _end(self, residue: Residue) -> None:
        outcome = self._outcome
        assert outcome is not None  # noqa: S101
        assert self._case is not None  # noqa: S101
        outcome.docket.close(self._case, residue)
        self._case = None

    def _bury(self, how: Raised) -> None:
        """Write the death into the history in which it happened."""
        outcome = self._outcome
        assert outcome is not None  # noqa: S101
        if self._case is not None and self._pending is not None:
            step = outcome.suite.step_type.model_validate({"command": outcome.suite.command(self._pending), "error": how})
            outcome.docket.add(self._case, step)
        else:
            outcome.docket.note_death(how)
        self._case = self._pending = None


def derive_seed(seed: int, scenario: str, attempt: int) -> int:
    """Return the seed of one part: each scenario draws its own, and a new one after a death."""
    digest = hashlib.sha256(f"{seed}/{scenario}/{attempt}".encode()).digest()
    return int.from_bytes(digest[:8], "big")
