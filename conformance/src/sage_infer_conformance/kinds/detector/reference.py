"""A small correct detector of an invented vendor, to hold the rules against, and for broken ones to be made from.

The vendor's tool prints CSV when asked, else a ruled table; its driver also shows each device in sysfs. A card may
carry several dies, each a device of its own at the card's PCI address.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Literal

import attrs

from sage_infer_contracts.detection import DetectionReport, DetectionStep
from sage_infer_contracts.devices import AcceleratorDescriptor, DeviceIds, Figure
from sage_infer_contracts.probe import CommandResult, PciDevice, Probe, Unknown

PCI_VENDOR = "fa57"
PCI_CLASS = "120000"
VISIBLE = "QUILL_VISIBLE_DEVICES"
QUERY = ("quill-smi", "--query", "--format=csv")
TABLE = ("quill-smi",)
SYSFS = "/sys/class/quill"
TIMEOUT_S = 5.0
State = Literal["present", "absent", "unreadable", "partial"]
_MARKUP = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_UUID = re.compile(r"QPU-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_BDF = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_MEMORY = re.compile(r"([0-9]{1,12}) ?MiB", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)


@attrs.frozen(slots=True)
class Row:
    """One device as one source shows it."""

    name: str
    ids: DeviceIds
    total_mib: int | None = None
    used_mib: int | None = None
    busy_percent: int | None = None
    bandwidth_gbps: float | None = None


@attrs.frozen(slots=True)
class Reading:
    """What one source gave. ``failure``: it is there and did not answer as it should."""

    rows: tuple[Row, ...] = ()
    failure: str | None = None
    step: DetectionStep | None = None


class ReferenceDetector:
    """Asks PCI first; then the tool, in CSV and as a table; then sysfs. The first that gives devices is believed."""

    hardware_backend = "quill"

    def detect(self, probe: Probe) -> DetectionReport:
        """Look at the machine."""
        cards = self.cards(probe)
        if cards is not None and not cards:
            return self.report("absent", None)
        readings: list[Reading] = []
        for read in (self.read_csv, self.read_table, self.read_sysfs):
            readings.append(read(probe, cards))
            if readings[-1].rows:
                break
        return self.conclude(probe, cards, readings)

    def cards(self, probe: Probe) -> list[PciDevice] | None:
        """Return the vendor's PCI functions; None where the probe cannot tell."""
        listed = probe.pci_devices()
        if isinstance(listed, Unknown):
            return None
        return [one for one in listed if one.vendor == PCI_VENDOR and one.device_class.startswith("12")]

    def conclude(
        self, probe: Probe, cards: list[PciDevice] | None, readings: Sequence[Reading]
    ) -> DetectionReport:
        """Make a report of what the sources gave."""
        rows = readings[-1].rows
        steps = tuple(one.step for one in readings if one.step is not None)
        failures = [one.failure for one in readings if one.failure is not None]
        if not rows:
            reason = "; ".join(failures) or "no source shows the devices"
            return self.report("unreadable", reason, steps=steps)
        shown = {row.ids.bdf for row in rows}
        lost = [card.bdf for card in cards or () if card.bdf not in shown]
        if lost:
            failures.append(f"not shown by the tool: {', '.join(lost)}")
        if cards is None:
            failures.append("PCI functions are not known")
        state: State = "partial" if failures else "present"
        return self.report(state, "; ".join(failures) or None, self.visible(probe, rows), steps)

    def report(
        self,
        state: State,
        reason: str | None,
        rows: Sequence[tuple[Row, int | None]] = (),
        steps: tuple[DetectionStep, ...] = (),
    ) -> DetectionReport:
        """Write a report."""
        return DetectionReport(
            hardware_backend=self.hardware_backend,
            state=state,
            reason=reason,
            accelerators=tuple(self.describe(row, logical) for row, logical in rows),
            steps=steps,
        )

    def describe(self, row: Row, logical: int | None) -> AcceleratorDescriptor:
        """Write one device down."""
        figures: tuple[tuple[str, Figure], ...] = ()
        if row.bandwidth_gbps is not None:
            figures = (
                (
                    "memory_bandwidth",
                    Figure(value=row.bandwidth_gbps, unit="GB/s", source="quill-smi --query"),
                ),
            )
        return AcceleratorDescriptor(
            hardware_backend=self.hardware_backend,
            name=row.name,
            ids=row.ids.model_copy(update={"logical": logical}),
            memory_total_bytes=_bytes(row.total_mib),
            memory_used_bytes=_bytes(row.used_mib),
            utilisation_percent=row.busy_percent,
            figures=figures,
        )

    def visible(self, probe: Probe, rows: Sequence[Row]) -> list[tuple[Row, int | None]]:
        """Number the devices as the runtime does: those that the variable names, in its order, from 0."""
        value = probe.environ(VISIBLE)
        if value is None or isinstance(value, Unknown):
            return [(row, number) for number, row in enumerate(rows)]
        chosen: list[Row] = []
        for word in value.split(","):
            named = [row for number, row in enumerate(rows) if word.strip() in (str(number), row.ids.uuid)]
            if not named or named[0] in chosen:
                break  # as the runtime: nothing counts from the first word on that names no device
            chosen += named[:1]
        return [(row, chosen.index(row) if row in chosen else None) for row in rows]

    def run(self, probe: Probe, command: Sequence[str]) -> str | Reading:
        """Return what a command printed, or how it failed."""
        result = probe.run(command, timeout_s=TIMEOUT_S)
        source = " ".join(command)
        if isinstance(result, Unknown):
            return Reading(step=DetectionStep(source=source, outcome="unknown"))
        if result.missing:
            return Reading(step=DetectionStep(source=source, outcome="absent"))
        failure = self.failure_of(result)
        if failure is not None:
            says = f"{source} {failure}"
            return Reading(failure=says, step=DetectionStep(source=source, outcome="failed", detail=says))
        return result.stdout

    def failure_of(self, result: CommandResult) -> str | None:
        """Say how a command failed; None where it did not."""
        if result.timed_out:
            return "did not answer in time"
        if result.exit_status not in (0, None):
            return f"ended with status {result.exit_status}: {result.stderr.strip()[:200]}"
        return None

    def read_csv(self, probe: Probe, cards: list[PciDevice] | None) -> Reading:
        """Read ``quill-smi --query``: one line a device, below a line of titles."""
        text = self.run(probe, QUERY)
        return text if isinstance(text, Reading) else self.read_rows("quill-smi --query", text, ",", cards)

    def read_table(self, probe: Probe, cards: list[PciDevice] | None) -> Reading:
        """Read ``quill-smi``: a table ruled with ``|``."""
        text = self.run(probe, TABLE)
        return text if isinstance(text, Reading) else self.read_rows("quill-smi", text, "|", cards)

    def read_rows(self, source: str, text: str, separator: str, cards: list[PciDevice] | None) -> Reading:
        """Read lines by the titles above them; a line that does not name a device of its own is none."""
        lines = [self.cells(line, separator) for line in self.lines(text)]
        titles: list[str] = next((cells for cells in lines if {"uuid", "bus-id", "name"} <= set(cells)), [])
        rows: dict[str, Row] = {}
        for cells in lines:
            row = (
                self.read_row(dict(zip(titles, cells, strict=True)))
                if len(cells) == len(titles) > 0
                else None
            )
            own = row is not None and (cards is None or row.ids.bdf in {card.bdf for card in cards})
            if row is not None and own and row.ids.uuid is not None:
                rows.setdefault(row.ids.uuid, row)
        failure = None if rows else f"{source} shows no device that can be read"
        step = DetectionStep(source=source, outcome="used" if rows else "failed", detail=failure or "")
        return Reading(tuple(rows.values()), failure, step)

    def lines(self, text: str) -> list[str]:
        """Return whole lines: what follows the last line break was cut off."""
        return _MARKUP.sub("", text).split("\n")[:-1]

    def cells(self, line: str, separator: str) -> list[str]:
        """Return the cells of a line; titles in lower case, without their units."""
        cells = [cell.strip() for cell in line.strip().strip("|").split(separator)]
        titles = [cell.lower().partition(" [")[0] for cell in cells]
        return titles if "uuid" in titles else cells

    def read_row(self, cells: dict[str, str]) -> Row | None:
        """Read one device; None unless it has a name, an address and a UUID."""
        uuid, bdf, name = cells["uuid"].lower().replace("qpu", "QPU"), cells["bus-id"].lower(), cells["name"]
        if not _UUID.fullmatch(uuid) or not _BDF.fullmatch(bdf) or not name:
            return None
        ids = DeviceIds(
            index=number(cells.get("index")),
            physical=number(cells.get("physical")),
            minor=number(cells.get("minor")),
            uuid=uuid,
            bdf=bdf,
        )
        busy = number(cells.get("busy", "").removesuffix("%").strip())
        return Row(
            name=name,
            ids=ids,
            total_mib=mebibytes(cells.get("memory")),
            used_mib=mebibytes(cells.get("used")),
            busy_percent=busy if busy is not None and busy <= 100 else None,
            bandwidth_gbps=decimal(cells.get("bandwidth", "").removesuffix("GB/s").strip()),
        )

    def read_sysfs(self, probe: Probe, cards: list[PciDevice] | None) -> Reading:
        """Read what the driver shows of each device."""
        names = probe.list_dir(SYSFS)
        if names is None or isinstance(names, Unknown):
            return Reading(step=DetectionStep(source=SYSFS, outcome="absent" if names is None else "unknown"))
        rows = [row for name in names if (row := self.read_node(probe, f"{SYSFS}/{name}", cards)) is not None]
        return Reading(tuple(rows), step=DetectionStep(source=SYSFS, outcome="used" if rows else "failed"))

    def read_node(self, probe: Probe, folder: str, cards: list[PciDevice] | None) -> Row | None:
        """Read one device's file of facts, in JSON."""
        text = probe.read_file(f"{folder}/facts")
        try:
            facts = json.loads(text) if isinstance(text, str) else None
        except (ValueError, RecursionError):
            return None
        if not isinstance(facts, dict) or not all(isinstance(value, str) for value in facts.values()):
            return None
        if not {"uuid", "bus-id", "name"} <= set(facts):
            return None
        row = self.read_row(facts)
        own = row is not None and (cards is None or row.ids.bdf in {card.bdf for card in cards})
        return row if own else None


def number(text: str | None) -> int | None:
    """Read a whole number."""
    return int(text) if text is not None and _NUMBER.fullmatch(text) else None


def decimal(text: str) -> float | None:
    """Read a decimal number."""
    return float(text) if re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,3})?", text, re.ASCII) else None


def mebibytes(text: str | None) -> int | None:
    """Read ``65536 MiB``."""
    match = _MEMORY.fullmatch(text or "")
    return int(match[1]) if match else None


def _bytes(mib: int | None) -> int | None:
    return None if mib is None else mib * 2**20
