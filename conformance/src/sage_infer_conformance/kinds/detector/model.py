"""What must be true of any detector: what its machines show, what it said of them, and whose devices they are."""

from __future__ import annotations

from collections import Counter

import attrs

from sage_infer_contracts.detection import DetectionReport
from sage_infer_contracts.devices import AcceleratorDescriptor
from sage_infer_contracts.probe import PciDevice

from .edits import Edits, Variable, apply_all
from .shown import Shown, Source
from .steps import Detect, DetectorStep, Facts, Load, Loaded, Make, Seen
from .strangers import STRANGE_VENDORS

ACCELERATOR_CLASSES = frozenset({"03", "12"})
"""PCI base classes of displays and of processing accelerators: those of a detector whose author names none."""


def lost_sources(edits: Edits) -> set[Source]:
    """Return the sources that ``edits`` take away whole."""
    return {source for edit in edits if edit.clean and (source := edit.touched()) is not None}


@attrs.define(slots=True)
class Known:
    """Everything that was reported of one undamaged machine, with all its sources and with some taken away."""

    most_devices: int = 0
    names: set[str] = attrs.field(factory=set)
    uuids: Counter[str] = attrs.field(factory=Counter)
    bdfs: Counter[str] = attrs.field(factory=Counter)
    devices: list[AcceleratorDescriptor] = attrs.field(factory=list)

    def learn(self, report: DetectionReport) -> None:
        """Take a report in."""
        devices = report.accelerators
        self.most_devices = max(self.most_devices, len(devices))
        self.names |= {one.name for one in devices}
        self.uuids |= Counter(one.ids.uuid.lower() for one in devices if one.ids.uuid)
        self.bdfs |= Counter(one.ids.bdf.lower() for one in devices if one.ids.bdf)
        self.devices += devices

    @property
    def most_memory_bytes(self) -> int:
        """The largest memory that any device was reported with; 0 where none was."""
        return max((one.memory_total_bytes or 0 for one in self.devices), default=0)


@attrs.define(slots=True)
class DetectorModel:
    """One history: the machine that was taken up last, and what was said so far."""

    facts: Facts | None = None
    loaded: Loaded | None = None
    shown: Shown = attrs.field(factory=Shown)
    whole: Seen | None = None
    """What was seen of the machine as it is."""
    known: Known = attrs.field(factory=Known)
    unrestricted: DetectionReport | None = None
    """What was reported while every variable of visible devices was known not to be set."""
    absences: set[frozenset[Source]] = attrs.field(factory=set)
    """Sets of sources without which the machine was looked at."""
    machine: str = ""
    said: dict[tuple[str, str], DetectionReport | None] = attrs.field(factory=dict)
    reports: dict[int, DetectionReport | None] = attrs.field(factory=dict)
    steps: int = 0
    _after: tuple[Edits, Shown, Shown] | None = None

    def apply(self, step: DetectorStep) -> None:
        """Take a step into account."""
        command, number = step.command, self.steps
        self.steps += 1
        if isinstance(command, Load | Make):
            self._take_up(step)
        elif isinstance(command, Detect):
            report = step.seen.report if step.seen is not None else None
            self.reports[number] = report
            self.said.setdefault(self.question(command), report)
            if step.seen is not None and report is not None:
                self._learn(command, step.seen, report)

    def _take_up(self, step: DetectorStep) -> None:
        self.facts = step.facts or self.facts
        self.loaded = step.loaded
        self.shown = step.command.shown if isinstance(step.command, Make) else Shown()
        if step.loaded is not None:
            self.shown = step.loaded.shown
        self.whole, self.unrestricted = None, None
        # A machine that is taken up again is the same machine: nothing that came between may change the answer.
        self.machine = step.loaded.name if step.loaded is not None else self.shown.model_dump_json()
        self.known, self.absences = Known(), set()

    def _learn(self, command: Detect, seen: Seen, report: DetectionReport) -> None:
        if not command.edits and not command.seconds_per_command:
            self.whole = seen
        if all(edit.clean for edit in command.edits):
            self.known.learn(report)
            self.absences.add(frozenset(lost_sources(command.edits)))
        if command.edits and all(isinstance(edit, Variable) and edit.value is None for edit in command.edits):
            self.unrestricted = report

    def question(self, command: Detect) -> tuple[str, str]:
        """Return what makes two looks the same: the machine, and what was done to it."""
        return self.machine, command.model_dump_json()

    def after(self, edits: Edits) -> Shown:
        """Return the machine after ``edits``; the last answer is kept, since every rule asks for the same."""
        if self._after is None or self._after[0] is not edits or self._after[1] is not self.shown:
            self._after = edits, self.shown, apply_all(self.shown, edits)
        return self._after[2]

    def is_compared(self, edits: Edits) -> bool:
        """Say whether it is known what the machine tells without any of the sources that ``edits`` damage."""
        lost = lost_sources(edits)
        damaged = {
            source for edit in edits if not edit.clean and (source := edit.touched()) is not None
        } - lost
        wanted = [lost, lost | damaged, *(lost | {source} for source in damaged)]
        everywhere = any(edit.touched() is None and not edit.clean for edit in edits)
        return not everywhere and all(frozenset(one) in self.absences for one in wanted)

    def most_devices(self, edits: Edits) -> int | None:
        """Return how many devices can be reported after ``edits`` without inventing one; None where nobody knows."""
        shown = self.after(edits)
        whole = self.whole.report if self.whole is not None else None
        most = max(len(self.own_devices(shown)), len(whole.accelerators) if whole is not None else 0)
        if self.loaded is not None and self.loaded.devices is not None:
            most = max(most, self.loaded.devices)
        elif all(edit.clean for edit in edits):
            return None if any(text for text in shown.texts().values()) else most
        if all(edit.clean for edit in edits):
            return most
        return max(most, self.known.most_devices) if self.is_compared(edits) else None

    @property
    def vendors(self) -> frozenset[str]:
        """PCI vendor ids of the detector's own devices: told by its author, or seen in what it claims; may be empty."""
        if self.facts is not None and self.facts.pci_vendors:
            return frozenset(self.facts.pci_vendors)
        return frozenset(device.vendor for device in self._claimed())

    @property
    def classes(self) -> frozenset[str]:
        """How PCI classes of its devices begin: told by its author, or seen in what it claims, or the usual ones."""
        if self.facts is not None and self.facts.pci_classes:
            return frozenset(self.facts.pci_classes)
        own = self.vendors
        seen = frozenset(device.device_class[:2] for device in self._claimed() if device.vendor in own)
        return seen or ACCELERATOR_CLASSES

    def _claimed(self) -> list[PciDevice]:
        report = self.whole.report if self.whole is not None else None
        bdfs = {one.ids.bdf for one in report.accelerators} if report is not None else set()
        return [
            device
            for device in self.shown.pci()
            if device.bdf in bdfs and device.vendor not in STRANGE_VENDORS
        ]

    def own_devices(self, shown: Shown) -> list[PciDevice]:
        """Return the PCI functions that are the detector's own; none where its vendor is not known."""
        vendors, classes = self.vendors, tuple(self.classes)
        return [one for one in shown.pci() if one.vendor in vendors and one.device_class.startswith(classes)]

    def is_strange(self, device: PciDevice) -> bool:
        """Say whether a PCI function is certainly not the detector's."""
        vendors = self.vendors
        if not vendors:
            return device.vendor in STRANGE_VENDORS
        return device.vendor not in vendors or not device.device_class.startswith(tuple(self.classes))
