"""Broken hardware detectors that report what is not so, look where they must not, or never end."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import attrs

from sage_infer_contracts.detection import DetectionReport, DetectionStep
from sage_infer_contracts.devices import AcceleratorDescriptor, DeviceIds, Figure, MemoryTierSpec
from sage_infer_contracts.probe import CommandResult, PciDevice, Probe, Unknown

from ..kinds.detector.reference import PCI_VENDOR, VISIBLE, Reading, ReferenceDetector, Row, State
from ..kinds.detector.reference_machines import SUBJECT
from .mutant import Ward

MUTANTS = Ward("detector", SUBJECT)


@MUTANTS.add("HD-01", "answers a driver error with 'no devices'")
class ErrorIsAbsence(ReferenceDetector):
    def conclude(
        self, probe: Probe, cards: list[PciDevice] | None, readings: Sequence[Reading]
    ) -> DetectionReport:
        report = super().conclude(probe, cards, readings)
        return self.report("absent", None, steps=report.steps) if report.state == "unreadable" else report


@MUTANTS.add("HD-01", "a tool that hangs is taken for one that is not installed")
class HangIsAbsence(ReferenceDetector):
    def conclude(
        self, probe: Probe, cards: list[PciDevice] | None, readings: Sequence[Reading]
    ) -> DetectionReport:
        if not readings[-1].rows and any("in time" in (one.failure or "") for one in readings):
            return self.report("absent", None)
        return super().conclude(probe, cards, readings)


@MUTANTS.add("HD-01", "what a recording does not contain does not exist")
class UnknownIsAbsence(ReferenceDetector):
    def cards(self, probe: Probe) -> list[PciDevice] | None:
        return super().cards(probe) or []


@MUTANTS.add("HD-01", "takes what a tool printed before it failed for everything there is")
class IgnoresTheStatus(ReferenceDetector):
    def failure_of(self, result: CommandResult) -> str | None:
        return None if result.stdout else super().failure_of(result)

    def conclude(
        self, probe: Probe, cards: list[PciDevice] | None, readings: Sequence[Reading]
    ) -> DetectionReport:
        shown = {row.ids.bdf for row in readings[-1].rows}
        return super().conclude(probe, [card for card in cards or () if card.bdf in shown], readings)


@MUTANTS.add("HD-01", "says present for a driver that does not answer")
class UnreadableIsPresent(ReferenceDetector):
    def conclude(
        self, probe: Probe, cards: list[PciDevice] | None, readings: Sequence[Reading]
    ) -> DetectionReport:
        report = super().conclude(probe, cards, readings)
        return self.report("present", None, steps=report.steps) if report.state == "unreadable" else report


@MUTANTS.add("HD-01", "returns nothing where there is nothing")
class ReturnsNone(ReferenceDetector):
    def detect(self, probe: Probe) -> DetectionReport:
        report = super().detect(probe)
        return report if report.state != "absent" else None  # type: ignore[return-value]  # that is the fault


@MUTANTS.add("HD-02", "looks for device nodes of the machine it runs on")
class LooksAtDev(ReferenceDetector):
    def detect(self, probe: Probe) -> DetectionReport:
        report = super().detect(probe)
        if report.state == "unreadable" and Path("/dev/quill0").exists():
            return self.report("partial", "the tool does not answer")
        return report


@MUTANTS.add("HD-02", "reads the driver's version from the real /proc")
class ReadsProc(ReferenceDetector):
    def describe(self, row: Row, logical: int | None) -> AcceleratorDescriptor:
        described = super().describe(row, logical)
        try:
            version = Path("/proc/driver/quill/version").read_text()
        except OSError:
            return described
        return described.model_copy(update={"driver_version": version})


@MUTANTS.add("HD-02", "runs the tool by itself when the probe gives nothing")
class RunsTheTool(ReferenceDetector):
    def conclude(
        self, probe: Probe, cards: list[PciDevice] | None, readings: Sequence[Reading]
    ) -> DetectionReport:
        if not readings[-1].rows and os.access("/usr/bin/quill-smi", os.X_OK):
            subprocess.run(["/usr/bin/quill-smi"], capture_output=True, timeout=5, check=False)
        return super().conclude(probe, cards, readings)


@MUTANTS.add("HD-02", "reads the variable of visible devices from its own process")
class OwnEnvironment(ReferenceDetector):
    def visible(self, probe: Probe, rows: Sequence[Row]) -> list[tuple[Row, int | None]]:
        found = super().visible(probe, rows)
        hidden = os.environ.get(VISIBLE)
        return (
            found if hidden is None else [one for one in found if str(one[0].ids.index) in hidden.split(",")]
        )


@MUTANTS.add("HD-02", "remembers the devices of the last good answer")
class LastGoodAnswer(ReferenceDetector):
    def __init__(self) -> None:
        self.last: DetectionReport | None = None

    def detect(self, probe: Probe) -> DetectionReport:
        report = super().detect(probe)
        if report.state == "unreadable" and self.last is not None:
            return self.last.model_copy(update={"state": "partial", "reason": report.reason})
        self.last = report if report.state == "present" else self.last
        return report


@MUTANTS.add("HD-02", "reports devices in the order of a set")
class OrderOfASet(ReferenceDetector):
    def visible(self, probe: Probe, rows: Sequence[Row]) -> list[tuple[Row, int | None]]:
        return sorted(super().visible(probe, rows), key=lambda one: hash(one[0].ids.uuid))


@MUTANTS.add("HD-02", "asks a framework how many devices it sees")
class AsksTorch(ReferenceDetector):
    def conclude(
        self, probe: Probe, cards: list[PciDevice] | None, readings: Sequence[Reading]
    ) -> DetectionReport:
        with contextlib.suppress(ImportError):
            import torch  # noqa: F401
        return super().conclude(probe, cards, readings)


@MUTANTS.add("HD-02", "believes a cached answer for ten minutes")
class CachesForMinutes(ReferenceDetector):
    def __init__(self) -> None:
        self.cached: tuple[float, object, list[PciDevice] | None] | None = None

    def cards(self, probe: Probe) -> list[PciDevice] | None:
        if self.cached is None or time.monotonic() - self.cached[0] > 600:
            self.cached = time.monotonic(), probe, super().cards(probe)
        return self.cached[2]


@MUTANTS.add("HD-03", "takes every processing accelerator for its own")
class AnyAccelerator(ReferenceDetector):
    def cards(self, probe: Probe) -> list[PciDevice] | None:
        listed = probe.pci_devices()
        found = (
            []
            if isinstance(listed, Unknown)
            else [one for one in listed if one.device_class.startswith("12")]
        )
        return super().cards(probe) if isinstance(listed, Unknown) else found


@MUTANTS.add("HD-03", "goes by whether the tool is there, not by PCI")
class ToolDecides(ReferenceDetector):
    def cards(self, probe: Probe) -> list[PciDevice] | None:
        return None


class ListsEveryCard(ReferenceDetector):
    """Reports cards that no tool shows by their PCI address; correct, and a start for two mutants."""

    def conclude(
        self, probe: Probe, cards: list[PciDevice] | None, readings: Sequence[Reading]
    ) -> DetectionReport:
        rows = readings[-1].rows
        shown = {row.ids.bdf for row in rows}
        bare = [Row("Quill (PCI)", DeviceIds(bdf=card.bdf)) for card in cards or () if card.bdf not in shown]
        failure = "some cards are seen on PCI only" if bare else None
        return super().conclude(probe, cards, [*readings[:-1], Reading((*rows, *bare), failure)])


@MUTANTS.add("HD-03", "goes by the vendor alone, so that the vendor's network card is an accelerator")
class VendorWithoutClass(ListsEveryCard):
    def cards(self, probe: Probe) -> list[PciDevice] | None:
        listed = probe.pci_devices()
        return None if isinstance(listed, Unknown) else [one for one in listed if one.vendor == PCI_VENDOR]


@MUTANTS.add(
    "HD-03", "takes the display of a board controller of its vendor for an accelerator", pci_classes="1200"
)
class BoardControllersDisplay(ListsEveryCard):
    def cards(self, probe: Probe) -> list[PciDevice] | None:
        listed = probe.pci_devices()
        if isinstance(listed, Unknown):
            return None
        return [
            one for one in listed if one.vendor == PCI_VENDOR and one.device_class.startswith(("12", "03"))
        ]


@MUTANTS.add("HD-03", "takes displays without a known driver for its own")
class AnyDisplay(ListsEveryCard):
    def cards(self, probe: Probe) -> list[PciDevice] | None:
        listed = probe.pci_devices()
        own = super().cards(probe)
        if own is None or isinstance(listed, Unknown):
            return own
        return [*own, *(one for one in listed if one.device_class.startswith("0302") and one.driver is None)]


@MUTANTS.add("HD-03", "says present where only the tool is")
class PresentByTool(ReferenceDetector):
    def detect(self, probe: Probe) -> DetectionReport:
        report = super().detect(probe)
        installed = not isinstance(self.run(probe, ("quill-smi",)), Reading)
        return self.report("present", None) if report.state == "absent" and installed else report


@MUTANTS.add("HD-03", "reports under the name of the vendor whose interface it imitates")
class UnderAnotherName(ReferenceDetector):
    def describe(self, row: Row, logical: int | None) -> AcceleratorDescriptor:
        return super().describe(row, logical).model_copy(update={"hardware_backend": "cuda"})


@MUTANTS.add("HD-05", "takes the row in the tool for the physical number")
class IndexIsPhysical(ReferenceDetector):
    def read_row(self, cells: dict[str, str]) -> Row | None:
        row = super().read_row(cells)
        return row and attrs.evolve(row, ids=row.ids.model_copy(update={"physical": row.ids.index}))


@MUTANTS.add("HD-05", "numbers device nodes in the order in which devices are found")
class MinorByOrder(ReferenceDetector):
    def visible(self, probe: Probe, rows: Sequence[Row]) -> list[tuple[Row, int | None]]:
        numbered = [
            attrs.evolve(row, ids=row.ids.model_copy(update={"minor": number}))
            for number, row in enumerate(rows)
        ]
        return super().visible(probe, numbered)


@MUTANTS.add("HD-05", "does not heed the variable of visible devices")
class IgnoresVisible(ReferenceDetector):
    def visible(self, probe: Probe, rows: Sequence[Row]) -> list[tuple[Row, int | None]]:
        return [(row, number) for number, row in enumerate(rows)]


@MUTANTS.add("HD-05", "reads the variable of visible devices as numbers of device nodes")
class VisibleByMinor(ReferenceDetector):
    def visible(self, probe: Probe, rows: Sequence[Row]) -> list[tuple[Row, int | None]]:
        value = probe.environ(VISIBLE)
        if not isinstance(value, str):
            return super().visible(probe, rows)
        chosen = [row for row in rows if str(row.ids.minor) in value.split(",")]
        return [(row, chosen.index(row) if row in chosen else None) for row in rows]


@MUTANTS.add("HD-05", "keeps a device's number in the runtime when others are hidden")
class LogicalIsKept(ReferenceDetector):
    def visible(self, probe: Probe, rows: Sequence[Row]) -> list[tuple[Row, int | None]]:
        found = super().visible(probe, rows)
        return [(row, number if logical is not None else None) for number, (row, logical) in enumerate(found)]


@MUTANTS.add("HD-05", "writes addresses as the tool does, in capitals")
class CapitalAddresses(ReferenceDetector):
    def describe(self, row: Row, logical: int | None) -> AcceleratorDescriptor:
        described = super().describe(row, logical)
        bdf = described.ids.bdf.upper() if described.ids.bdf else None
        return described.model_copy(update={"ids": described.ids.model_copy(update={"bdf": bdf})})


@MUTANTS.add("HD-05", "gives every die of a card the ids of the card")
class DiesShareIds(ReferenceDetector):
    def describe(self, row: Row, logical: int | None) -> AcceleratorDescriptor:
        return super().describe(row, logical).model_copy(update={"ids": DeviceIds(bdf=row.ids.bdf)})


@MUTANTS.add("HD-06", "writes 0 for a size that is not shown")
class ZeroForUnknown(ReferenceDetector):
    def describe(self, row: Row, logical: int | None) -> AcceleratorDescriptor:
        return super().describe(attrs.evolve(row, total_mib=row.total_mib or 0), logical)


@MUTANTS.add("HD-06", "reads the memory from the product's name when the tool does not show it")
class MemoryFromName(ReferenceDetector):
    def describe(self, row: Row, logical: int | None) -> AcceleratorDescriptor:
        gib = "".join(filter(str.isdigit, row.name))
        guess = int(gib) * 1024 if gib else None
        return super().describe(attrs.evolve(row, total_mib=row.total_mib or guess), logical)


@MUTANTS.add("HD-06", "fills a missing size in from a table of products")
class MemoryFromTable(ReferenceDetector):
    def describe(self, row: Row, logical: int | None) -> AcceleratorDescriptor:
        return super().describe(attrs.evolve(row, total_mib=row.total_mib or 98304), logical)


@MUTANTS.add("HD-06", "calls a bandwidth measured that nobody measured")
class MeasuredByNobody(ReferenceDetector):
    def describe(self, row: Row, logical: int | None) -> AcceleratorDescriptor:
        figure = Figure(value=1600.0, unit="GB/s", source="measured")
        return super().describe(row, logical).model_copy(update={"figures": (("memory_bandwidth", figure),)})


@MUTANTS.add("HD-06", "gives a figure the source 'unknown'")
class SourceUnknown(ReferenceDetector):
    def describe(self, row: Row, logical: int | None) -> AcceleratorDescriptor:
        figure = Figure(value=312.0, unit="TFLOPS", source="unknown")
        return super().describe(row, logical).model_copy(update={"figures": (("bf16", figure),)})


@MUTANTS.add("HD-06", "reports a figure that is not a number")
class NotANumber(ReferenceDetector):
    def describe(self, row: Row, logical: int | None) -> AcceleratorDescriptor:
        described = super().describe(row, logical)
        if described.utilisation_percent is not None:
            return described
        figure = Figure(value=float("nan"), unit="%", source="quill-smi")
        return described.model_copy(update={"figures": (("utilisation", figure),)})


@MUTANTS.add("HD-06", "a report made without validation does not come back from JSON")
class NotValidated(ReferenceDetector):
    def describe(self, row: Row, logical: int | None) -> AcceleratorDescriptor:
        busy = 200 if row.busy_percent is None else row.busy_percent
        return super().describe(row, logical).model_copy(update={"utilisation_percent": busy})


@MUTANTS.add("HD-06", "keeps bytes that are not UTF-8 as half characters, which no JSON can hold")
class HalfCharacters(ReferenceDetector):
    def lines(self, text: str) -> list[str]:
        return super().lines(text.replace("\ufffd", "\udcff"))

    def report(
        self,
        state: State,
        reason: str | None,
        rows: Sequence[tuple[Row, int | None]] = (),
        steps: tuple[DetectionStep, ...] = (),
    ) -> DetectionReport:
        return super().report(state, reason, rows, steps)

    def read_rows(self, source: str, text: str, separator: str, cards: list[PciDevice] | None) -> Reading:
        reading = super().read_rows(source, text, separator, cards)
        odd = next((line for line in self.lines(text) if "\udcff" in line), None)
        return attrs.evolve(reading, failure=f"{source}: cannot decode {odd}") if odd else reading


@MUTANTS.add("HD-06", "reports a memory tier of a size that nobody told")
class TierOfDefaultSize(ReferenceDetector):
    def detect(self, probe: Probe) -> DetectionReport:
        report = super().detect(probe)
        tier = MemoryTierSpec(name="hbm", capacity_bytes=96 * 2**30)
        return report if report.accelerators else report.model_copy(update={"memory_tiers": (tier,)})


@MUTANTS.add("HD-07", "asks again until the tool answers")
class AsksForEver(ReferenceDetector):
    def run(self, probe: Probe, command: Sequence[str]) -> str | Reading:
        while True:
            result = probe.run(command, timeout_s=5.0)
            if isinstance(result, Unknown) or not result.timed_out:
                return super().run(probe, command)


@MUTANTS.add("HD-07", "waits for the driver to come up, for as long as it takes")
class WaitsForTheDriver(ReferenceDetector):
    def run(self, probe: Probe, command: Sequence[str]) -> str | Reading:
        answer = super().run(probe, command)
        while isinstance(answer, Reading) and answer.failure is not None:
            time.sleep(2.0)
            answer = super().run(probe, command)
        return answer


@MUTANTS.add("HD-07", "sleeps longer and longer between attempts, past any deadline")
class BacksOffTooFar(ReferenceDetector):
    def run(self, probe: Probe, command: Sequence[str]) -> str | Reading:
        answer = super().run(probe, command)
        for attempt in range(6):
            if not isinstance(answer, Reading) or answer.failure is None:
                break
            time.sleep(2.0**attempt)
            answer = super().run(probe, command)
        return answer
