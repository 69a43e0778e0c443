"""Carries commands to a detector: makes the machine, lets the detector look, and sees what comes of it."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import cast

from sage_infer_contracts.detection import DetectionReport, HardwareDetector
from sage_infer_contracts.errors import InvalidRequest
from sage_infer_contracts.testing import RecordedMachine, Subject

from ...history.steps import carry_out
from ...running.again import play_again
from .edits import apply_all
from .probes import MachineProbe, SimulatedTime, Stopped
from .shown import Shown
from .steps import Again, Detect, DetectorStep, Facts, Load, Loaded, Make, Repeated, Seen
from .watch import the_watch

_CLASS = re.compile(r"[0-9a-f]{2}([0-9a-f]{2}){0,2}")
_NOBODYS = ("01", "02", "06")
"""PCI base classes of storage, networks and bridges: no author may call them accelerators."""


class DetectorDriver:
    """One detector for one history; it is made when the first machine is taken up."""

    def __init__(self, subject: Subject, name: str) -> None:
        self._subject = subject
        self._name = name
        self._detector: HardwareDetector | None = None
        self._shown = Shown()
        self._touched: dict[str, None] = {}
        self._done: list[DetectorStep] = []

    def execute(self, command: object) -> DetectorStep:
        """Do ``command``."""
        step = DetectorStep(command=command)  # type: ignore[arg-type]  # the caller read it as one of the union
        found = carry_out(step, self._do)
        self._done.append(found)
        return found

    def close(self) -> None:
        """Drop the detector."""
        self._detector = None
        self._done.clear()

    def _do(self, step: DetectorStep) -> DetectorStep:
        command = step.command
        if isinstance(command, Load):
            return self._load(step, command.ordinal)
        if isinstance(command, Make):
            self._shown = command.shown
            return step
        if isinstance(command, Detect):
            return step.model_copy(update={"seen": self._look(command)})
        return step.model_copy(update={"again": self._again(command)})

    def _make(self) -> HardwareDetector:
        if self._detector is None:
            with the_watch().on() as touched:
                self._detector = cast(HardwareDetector, self._subject.create(**self._subject.options))
            self._touched = touched
        return self._detector

    def _load(self, step: DetectorStep, ordinal: int) -> DetectorStep:
        machines = _machines(self._subject)
        facts = self._subject.facts
        told = Facts(
            hardware_backend=str(self._make().hardware_backend),
            pci_vendors=_words(facts.get("pci_vendors")),
            pci_classes=_classes(_words(facts.get("pci_classes"))),
            visible_variables=_words(facts.get("visible_variables")),
            visible_uuids=bool(facts.get("visible_uuids", False)),
            machines=len(machines),
        )
        if not machines:
            return step.model_copy(update={"facts": told})
        name = sorted(machines)[ordinal % len(machines)]
        machine = machines[name]
        self._shown = Shown(recording=machine.recording)
        loaded = Loaded(
            name=name, shown=self._shown, state=machine.state, devices=machine.devices, ids=machine.ids
        )
        return step.model_copy(update={"facts": told, "loaded": loaded})

    def _look(self, command: Detect) -> Seen:
        detector = self._make()
        clock = SimulatedTime()
        probe = MachineProbe(apply_all(self._shown, command.edits), clock, command.seconds_per_command)
        found = Seen()
        with the_watch().on() as touched:
            try:
                with clock.running():
                    found = _seen(detector.detect(probe))
            except Stopped:
                found = Seen(endless=True)
        touched = {**self._touched, **touched}
        self._touched = {}
        return found.model_copy(
            update={"asked": tuple(probe.asked), "touched": tuple(touched), "simulated_s": clock.passed_s}
        )

    def _again(self, command: Again) -> tuple[Repeated, ...]:
        looks = [number for number, step in enumerate(self._done) if isinstance(step.command, Detect)]
        blocks = list(self._by_machine(looks))
        order = random.Random(command.hash_seed)
        order.shuffle(blocks)
        numbers: list[int | None] = []
        for machine, block in blocks:
            order.shuffle(block)
            numbers += [None, *block]
            block.insert(0, machine)
        commands = [self._done[number].command for _, block in blocks for number in block]
        environment = self._other_environment(looks)
        lines = play_again(
            self._name, commands, hash_seed=command.hash_seed, leaping_clock=True, environment=environment
        )
        steps = [DetectorStep.model_validate_json(line) for line in lines]
        return tuple(
            Repeated(
                step=number,
                error=str(step.error) if step.error is not None else None,
                report=step.seen.report if step.seen is not None else None,
            )
            for number, step in zip(numbers, steps, strict=False)
            if number is not None
        )

    def _by_machine(self, looks: list[int]) -> list[tuple[int, list[int]]]:
        blocks: dict[int, list[int]] = {}
        machine = 0
        for number, step in enumerate(self._done):
            if isinstance(step.command, Load | Make):
                machine = number
            elif number in looks:
                blocks.setdefault(machine, []).append(number)
        return list(blocks.items())

    def _other_environment(self, looks: list[int]) -> Mapping[str, str]:
        """Return variables that a detector may know, with values that change what it would say if it looked."""
        asked = {source for number in looks if (seen := self._done[number].seen) for source in seen.asked}
        names = {source.partition(":")[2] for source in asked if source.startswith("variable:")}
        names |= set(_words(self._subject.facts.get("visible_variables")))
        return {name: "1" for name in sorted(names) if _is_variable(name)}


def _seen(returned: object) -> Seen:
    """Take a report through JSON, as a host does."""
    if not isinstance(returned, DetectionReport):
        return Seen(returned=type(returned).__name__)
    try:
        text = returned.model_dump_json()
        report = DetectionReport.model_validate_json(text)
    except (ValueError, TypeError, AttributeError) as error:  # made without validation
        return Seen(round_trip=" ".join(str(error).split())[:500])
    if report.model_dump_json() != text:
        return Seen(report=report, round_trip="it is another report when it comes back from JSON")
    return Seen(report=report)


def _machines(subject: Subject) -> Mapping[str, RecordedMachine]:
    machines = subject.fixtures() if subject.fixtures is not None else {}
    wrong = [name for name, machine in machines.items() if not isinstance(machine, RecordedMachine)]
    if wrong:
        raise InvalidRequest(
            f"fixtures of a detector are RecordedMachines; {wrong[0]!r} is none", param="fixtures"
        )
    return cast(Mapping[str, RecordedMachine], machines)


def _words(value: object) -> tuple[str, ...]:
    return tuple(filter(None, (word.strip() for word in str(value or "").split(","))))


def _classes(words: tuple[str, ...]) -> tuple[str, ...]:
    wrong = [word for word in words if not _CLASS.fullmatch(word) or word.startswith(_NOBODYS)]
    if wrong:
        says = f"{wrong[0]!r} is no PCI class of accelerators: 2, 4 or 6 hex digits, as in 1200; storage, networks "
        raise InvalidRequest(f"{says}and bridges (01, 02, 06) are none", param="pci_classes")
    return words


def _is_variable(name: str) -> bool:
    return name.isidentifier() and not name.startswith("PYTHON")
