"""The child: finds the subject, plays scenarios or commands against it, and tells every step before it ends.

Run as ``python -m sage_infer_conformance.running.child DESCRIPTOR`` with the job on standard input. Standard output
and error belong to the subject; what is told goes to the descriptor.
"""

from __future__ import annotations

import gc
import math
import os
import sys
import threading
import time
from multiprocessing import resource_tracker
from typing import TextIO

import attrs
import psutil

from sage_infer_contracts.certification import SubjectFacts
from sage_infer_contracts.errors import SageInferError, error_to_wire
from sage_infer_contracts.testing import SubjectKind

from ..history.files import Header
from ..history.steps import Command, Residue, Step
from ..judging.docket import Docket
from ..judging.package import PACKAGE_RULES
from ..kinds.suite import Choices, Driver, Play, Scenario, Suite
from ..kinds.table import suite_of
from .clock import leap
from .messages import Begin, Bye, Doing, Done, End, Hello, Job, Message, Part, Refusal
from .names import FullName
from .subjects import Found, find_subject

_SHRINK_S = 40.0
"""How long mode develop looks for a shorter history once a rule is broken."""


class Teller:
    """Writes messages; every line is out before the subject gets the next command."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def tell(self, message: Message) -> None:
        """Send one message."""
        self._stream.write(message.model_dump_json() + "\n")
        self._stream.flush()


class Performance:
    """Plays the parts of a job against one subject."""

    def __init__(self, job: Job, found: Found, teller: Teller) -> None:
        self._job = job
        self._found = found
        self._suite: Suite = suite_of(found.subject.kind)
        if self._suite.spawns:
            resource_tracker.ensure_running()
        self._name = str(attrs.evolve(FullName.read(job.subject), kind=found.subject.kind))
        self._teller = teller
        self._rules = [
            r for r in (*self._suite.rules, *PACKAGE_RULES) if not job.rules or r.clause in job.rules
        ]
        self._stopping_at: str | None = None
        self._shrink_until = math.inf

    def play_parts(self) -> None:
        """Draw every part's examples; mode develop ends with the part in which a rule was broken."""
        scenarios = {scenario.name: scenario for scenario in self._suite.scenarios}
        for number, part in enumerate(self._job.parts):
            self._play_part(number, part, scenarios[part.scenario])
            if self._stopping_at is not None:
                return

    def _play_part(self, number: int, part: Part, scenario: Scenario) -> None:
        drawn = 0

        def example(choices: Choices) -> bool:
            nonlocal drawn
            if time.monotonic() > self._shrink_until:
                return False  # nothing simpler is found any more, so shrinking ends
            self._teller.tell(Begin(part=number, example=drawn))
            drawn += 1
            return self._one_history(scenario, choices)

        from .choices import draw_examples  # Hypothesis, which a child that carries out commands does without

        draw_examples(self._job.mode, part.seed, part.examples, example)

    def _one_history(self, scenario: Scenario, choices: Choices) -> bool:
        """Play one history; True if a rule was broken in it."""
        before = _Possessions.now()
        header = Header(kind=self._suite.kind, subject=self._job.subject, scenario=scenario.name)
        docket = Docket(self._rules)
        case = docket.open(header, self._suite.make_model())
        driver = self._suite.make_driver(self._found.subject, self._name)

        def do(command: Command) -> Step:
            step = self._carry_out(driver, command)
            if self._job.mode == "develop":
                docket.add(case, step)
            else:
                case.model.apply(step)
            return step

        try:
            scenario.play(Play(choices, case.model, do))
        finally:
            driver.close()
            residue = before.residue()
            self._teller.tell(End(residue=residue))
        if self._job.mode == "develop":
            docket.close(case, residue)
        return self._is_broken(docket)

    def _is_broken(self, docket: Docket) -> bool:
        """Say whether the rule that was broken first is broken again: shrinking must not slip to another."""
        broken = docket.broken_clauses()
        if self._stopping_at is None and broken:
            self._stopping_at = broken[0]
            self._shrink_until = time.monotonic() + _SHRINK_S
        return self._stopping_at in broken

    def play_commands(self) -> None:
        """Carry out the commands that were given, in order; each history with a driver of its own."""
        for number, commands in enumerate(self._job.histories or (self._job.commands,)):
            driver = self._suite.make_driver(self._found.subject, self._name)
            before = _Possessions.now()
            self._teller.tell(Begin(part=0, example=number))
            try:
                for line in commands:
                    self._carry_out(driver, self._suite.command(line))
            finally:
                driver.close()
                self._teller.tell(End(residue=before.residue()))

    def _carry_out(self, driver: Driver, command: Command) -> Step:
        self._teller.tell(Doing(command=command.model_dump_json()))
        step: Step = driver.execute(command)
        self._teller.tell(Done(step=step.model_dump_json(exclude_none=True)))
        return step


class _Possessions:
    """What this process holds, to tell what a history left behind."""

    def __init__(self, threads: set[int | None], files: int, children: set[int]) -> None:
        self._threads, self._files, self._children = threads, files, children

    @classmethod
    def now(cls) -> _Possessions:
        """Count."""
        process = psutil.Process()
        threads = {thread.ident for thread in threading.enumerate()}
        return cls(threads, process.num_fds(), {child.pid for child in process.children(recursive=True)})

    def residue(self) -> Residue:
        """Return what is there now and was not then. Garbage is collected first."""
        gc.collect()
        threads = [thread for thread in threading.enumerate() if thread.ident not in self._threads]
        for thread in threads:
            thread.join(timeout=1.0)
        now = _Possessions.now()
        return Residue(
            threads=tuple(sorted(thread.name for thread in threads if thread.is_alive())),
            open_files=max(0, now._files - self._files),
            child_processes=len(now._children - self._children),
        )


_DEVICES: dict[SubjectKind, str] = {"backend": "cpu", "embedding": "cpu"}
"""Where a kind runs, and really computes, unless a device is asked for."""


def facts_of(name: str, found: Found) -> SubjectFacts:
    """Describe the subject without creating it."""
    distribution = found.distribution
    return SubjectFacts(
        name=str(attrs.evolve(FullName.read(name), kind=None)),
        kind=found.subject.kind,
        target=found.target,
        distribution=distribution.name if distribution else None,
        version=distribution.version if distribution else None,
        record_digest=found.record_digest,
        device=str(found.subject.facts.get("device", _DEVICES.get(found.subject.kind, "simulated"))),
        options=dict(found.subject.options),
    )


def run_job(job: Job, teller: Teller) -> None:
    """Do the whole job."""
    if job.leaping_clock:
        leap()
    try:
        found = find_subject(job.subject, job.kind)
    except SageInferError as error:
        teller.tell(Refusal(error=error_to_wire(error)))
        return
    teller.tell(Hello(facts=facts_of(job.subject, found)))
    performance = Performance(job, found, teller)
    gc.freeze()  # what is loaded by now is no history's garbage; to look through it each time costs more than a history
    if job.commands or job.histories:
        performance.play_commands()
    else:
        performance.play_parts()
    teller.tell(Bye())


def main() -> None:
    """Read the job and do it; then end at once, whatever the subject left running."""
    descriptor = int(sys.argv[1])
    job = Job.model_validate_json(sys.stdin.read())
    with os.fdopen(descriptor, "w", encoding="utf-8", buffering=1 << 16) as stream:
        run_job(job, Teller(stream))
    os._exit(0)


if __name__ == "__main__":
    main()
