"""One run: plan the parts, have children play them, judge every step as it comes."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator

import attrs

from sage_infer_contracts.certification import Mode, SubjectFacts
from sage_infer_contracts.errors import DeviceUnavailable, PluginLoadError, error_from_wire
from sage_infer_contracts.testing import SubjectKind

from ..judging.docket import Docket
from ..judging.package import PACKAGE_RULES
from ..kinds.suite import Suite
from ..kinds.table import suite_of
from ..package_rules.recipe_rules import RECIPE_RULES
from ..package_rules.rules import INSTALLED_RULES, UNINSTALLED
from ..package_rules.stage import PACKAGE_CLAUSES, judge_package
from .hearing import Hearing
from .messages import Begin, Bye, End, Hello, Job, Part, Refusal
from .names import FullName
from .process import ChildProcess, Died

START_S = 120.0
_DEATHS_PER_SCENARIO = 3
ENVIRONMENT = {"PYTHONHASHSEED": "0"}
"""Set in every child, so that the order of sets does not differ from run to run."""

Progress = Callable[[str], None]


@attrs.frozen(slots=True)
class Order:
    """What a user asked for. ``examples_percent`` scales the number of histories.

    ``subject`` is a full name (:mod:`.names`). ``rules`` are the clauses that mode develop stops at; empty: all.
    """

    subject: str
    kind: SubjectKind | None = None
    mode: Mode = "certify"
    seed: int = 0
    scenarios: tuple[str, ...] = ()
    examples_percent: int = 100
    until_broken: str | None = None
    """Stop once this clause is found broken: enough for a mutant, never for a certificate."""
    rules: tuple[str, ...] = ()
    seconds: float | None = None
    """Begin no history once this time is over: for mode soak."""

    def histories(self, suite: Suite) -> dict[str, int]:
        """Return how many histories of each scenario are drawn."""
        chosen = [s for s in suite.scenarios if not self.scenarios or s.name in self.scenarios]
        return {s.name: max(1, s.examples(self.mode) * self.examples_percent // 100) for s in chosen}

    def judges_package(self) -> bool:
        """Say whether the package of an installed subject is looked at: not for the sake of another clause."""
        wanted = {*self.rules, *filter(None, (self.until_broken,))}
        return not wanted or bool(wanted & PACKAGE_CLAUSES)


@attrs.define(slots=True)
class Outcome:
    """What a run found."""

    facts: SubjectFacts
    suite: Suite
    docket: Docket
    seconds: float = 0.0


def run(order: Order, progress: Progress = lambda _: None) -> Outcome:
    """Judge one subject.

    Raises an error of the family when the subject cannot be found or imported, or when the device that was asked for
    is not there; whatever it does later is a verdict.
    """
    began = time.monotonic()
    facts = ask(order)
    suite = suite_of(facts.kind)  # type: ignore[arg-type]  # the child validated it
    outcome = Outcome(facts, suite, docket_of(suite, order.mode, is_installed=facts.distribution is not None))
    play(order, outcome, progress)
    if order.judges_package():
        progress("the package")
        judge_package(outcome.docket, order.subject, facts)
    outcome.seconds = time.monotonic() - began
    return outcome


def play(order: Order, outcome: Outcome, progress: Progress = lambda _: None) -> None:
    """Play the scenarios of ``order`` and add what is found to ``outcome``."""
    _Session(order, outcome, progress).play()


def docket_of(suite: Suite, mode: Mode = "certify", *, is_installed: bool = False) -> Docket:
    """Return an empty docket with every rule that a subject of this kind is judged by.

    ``is_installed``: it came from an installed distribution, which is judged as well.
    """
    rules = (*suite.rules, *PACKAGE_RULES, *((*INSTALLED_RULES, *RECIPE_RULES) if is_installed else ()))
    return Docket(rules, (*suite.stated, *UNINSTALLED), latest=mode == "develop")


def ask(order: Order) -> SubjectFacts:
    """Find the subject, in a child process, and say what it is; raises an error of the family."""
    with _child(order, ()) as child:
        try:
            message = child.next_message(START_S)
        except Died as death:
            raise PluginLoadError(f"{order.subject}: {death.how}", name=order.subject) from death
    if isinstance(message, Refusal):
        raise error_from_wire(message.error)
    assert isinstance(message, Hello)
    return message.facts


def _child(order: Order, parts: tuple[Part, ...], memory_limit_bytes: int = 2 * 1024**3) -> ChildProcess:
    job = Job(subject=order.subject, kind=order.kind, mode=order.mode, parts=parts, rules=order.rules)
    return ChildProcess(job, memory_limit_bytes=memory_limit_bytes, environment=ENVIRONMENT)


class _Session:
    """One run in the making. Owned by the calling thread."""

    def __init__(self, order: Order, outcome: Outcome, progress: Progress) -> None:
        self._order = order
        self._outcome = outcome
        self._progress = progress
        self._hearing = Hearing(outcome.suite, outcome.docket, order.subject)
        self._planned = order.histories(outcome.suite)
        self._device = FullName.read(order.subject).device
        self._until = time.monotonic() + order.seconds if order.seconds is not None else None

    def play(self) -> None:
        """Play all scenarios in one child; after a death, go on in the next with what is left."""
        left = dict(self._planned)
        deaths = dict.fromkeys(left, 0)
        while parts := tuple(self._parts(left, deaths)):
            dead = self._play_parts(parts, left)
            if dead is None or self._order.mode == "develop":
                return
            deaths[dead] += 1
            if deaths[dead] >= _DEATHS_PER_SCENARIO:
                left[dead] = 0

    def _parts(self, left: dict[str, int], deaths: dict[str, int]) -> Iterator[Part]:
        for name, examples in left.items():
            if examples > 0:
                seed = derive_seed(self._order.seed, name, deaths[name])
                yield Part(scenario=name, seed=seed, examples=examples)

    def _play_parts(self, parts: tuple[Part, ...], left: dict[str, int]) -> str | None:
        """Play until the end or a death; return the scenario in which the child died."""
        suite, docket = self._outcome.suite, self._outcome.docket
        current = parts[0].scenario
        deadline_s = START_S
        with _child(self._order, parts, suite.memory_limit_bytes) as child:
            try:
                while not isinstance(message := child.next_message(deadline_s), Bye):
                    # Between histories the child draws and shrinks; the subject has nothing to do then.
                    deadline_s = START_S if isinstance(message, End) else suite.step_deadline_s
                    if isinstance(message, Begin):
                        current = parts[message.part].scenario
                        left.update({part.scenario: 0 for part in parts[: message.part]})
                        left[current] -= 1
                        if self._over():
                            left.clear()
                            return None
                        self._begin(current, left[current])
                    else:
                        self._hearing.take(message)
                        self._look_for_device()
                    if self._found():
                        left.clear()
                        return None
            except Died as death:
                self._hearing.bury(death.how)
                return current
            finally:
                docket.end_process(child.output_bytes, child.output_tail)
        return None

    def _begin(self, scenario: str, left: int) -> None:
        planned = self._planned[scenario]
        # Hypothesis draws more where a history grew too long for it, and while it shrinks.
        self._progress(
            f"{scenario} {planned - left} of {planned}" if left >= 0 else f"{scenario}, {-left} more"
        )
        self._hearing.begin(scenario)

    def _over(self) -> bool:
        return self._until is not None and time.monotonic() > self._until

    def _found(self) -> bool:
        wanted = self._order.until_broken
        return wanted is not None and self._outcome.docket.is_broken(wanted)

    def _look_for_device(self) -> None:
        """A device that was asked for by name must be there; that is seen in the first history."""
        step = self._hearing.last_step
        if self._device is None or step is None or step.error is None or self._outcome.docket.histories > 1:
            return
        if step.error.code == DeviceUnavailable.code:
            raise DeviceUnavailable(f"{self._device} was asked for: {step.error.message}")


def derive_seed(seed: int, scenario: str, attempt: int) -> int:
    """Return the seed of one part: each scenario draws its own, and a new one after a death."""
    digest = hashlib.sha256(f"{seed}/{scenario}/{attempt}".encode()).digest()
    return int.from_bytes(digest[:8], "big")
