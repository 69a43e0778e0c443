"""Broken hardware detectors that misread what tools print, and one that never ends over it."""

from __future__ import annotations

import re
from collections.abc import Sequence

import attrs

from sage_infer_contracts.detection import DetectionReport
from sage_infer_contracts.devices import DeviceIds
from sage_infer_contracts.probe import PciDevice, Probe

from ..kinds.detector.reference import Reading, ReferenceDetector, Row, number
from .detector_reporting import MUTANTS

_OFFSETS = {
    "index": slice(2, 7),
    "name": slice(10, 23),
    "bus-id": slice(26, 38),
    "uuid": slice(41, 81),
    "minor": slice(84, 89),
    "physical": slice(92, 100),
    "memory": slice(103, 112),
}
_QUERY_ORDER = ("index", "name", "bus-id", "uuid", "minor", "physical", "memory", "used", "busy", "bandwidth")


@MUTANTS.add("HD-04", "parses the table by column offsets")
class ColumnOffsets(ReferenceDetector):
    def read_rows(self, source: str, text: str, separator: str, cards: list[PciDevice] | None) -> Reading:
        if separator != "|":
            return super().read_rows(source, text, separator, cards)
        cells = [{name: line[part].strip() for name, part in _OFFSETS.items()} for line in self.lines(text)]
        rows = [
            Row(
                name=one["name"],
                ids=DeviceIds(
                    index=number(one["index"]),
                    minor=number(one["minor"]),
                    physical=number(one["physical"]),
                    uuid=one["uuid"],
                    bdf=one["bus-id"].lower(),
                ),
            )
            for one in cells
            if number(one["index"]) is not None
        ]
        return Reading(tuple(rows), None if rows else f"{source} shows no device")


@MUTANTS.add("HD-04", "reads the columns of the query in the order in which they once came")
class FixedOrder(ReferenceDetector):
    def read_rows(self, source: str, text: str, separator: str, cards: list[PciDevice] | None) -> Reading:
        if separator != ",":
            return super().read_rows(source, text, separator, cards)
        rows = []
        for line in self.lines(text)[1:]:
            cells = dict(zip(_QUERY_ORDER, self.cells(line, ","), strict=False))
            if number(cells.get("index")) is not None and len(cells) == len(_QUERY_ORDER):
                ids = DeviceIds(index=number(cells["index"]), uuid=cells["uuid"], bdf=cells["bus-id"].lower())
                rows.append(Row(cells["name"], ids))
        return Reading(tuple(rows), None if rows else f"{source} shows no device")


@MUTANTS.add("HD-04", "every line with as many cells as the titles is a device, another heading too")
class HeadingIsADevice(ReferenceDetector):
    def read_rows(self, source: str, text: str, separator: str, cards: list[PciDevice] | None) -> Reading:
        reading = super().read_rows(source, text, separator, cards)
        lines = [self.cells(line, separator) for line in self.lines(text)]
        titles = [cells for cells in lines if "uuid" in cells]
        extra = [Row(cells[1], DeviceIds()) for cells in titles[1:]]
        return attrs.evolve(reading, rows=(*reading.rows, *extra)) if reading.rows else reading


@MUTANTS.add("HD-04", "counts the lines below the titles")
class CountsLines(ReferenceDetector):
    def read_rows(self, source: str, text: str, separator: str, cards: list[PciDevice] | None) -> Reading:
        reading = super().read_rows(source, text, separator, cards)
        count = len([line for line in self.lines(text)[1:] if line.strip()])
        if separator != "," or not reading.rows or count <= len(reading.rows):
            return reading
        more = [Row(reading.rows[0].name, DeviceIds(index=row)) for row in range(len(reading.rows), count)]
        return attrs.evolve(reading, rows=(*reading.rows, *more))


@MUTANTS.add("HD-04", "output that is printed twice shows twice as many devices")
class CountsTwice(ReferenceDetector):
    def read_rows(self, source: str, text: str, separator: str, cards: list[PciDevice] | None) -> Reading:
        reading = super().read_rows(source, text, separator, cards)
        lines = [cell.strip().lower() for line in self.lines(text) for cell in line.split(separator)]
        rows = [row for row in reading.rows for _ in range(lines.count((row.ids.uuid or "").lower()))]
        return attrs.evolve(reading, rows=tuple(rows))


@MUTANTS.add("HD-04", "a row that cannot be matched with its card is listed beside the card")
class UnmatchedIsNew(ReferenceDetector):
    def conclude(
        self, probe: Probe, cards: list[PciDevice] | None, readings: Sequence[Reading]
    ) -> DetectionReport:
        rows = readings[-1].rows
        shown = {row.ids.bdf for row in rows}
        bare = [
            Row("Quill X64 Pro", DeviceIds(bdf=card.bdf)) for card in cards or () if card.bdf not in shown
        ]
        return super().conclude(probe, cards, [*readings[:-1], Reading((*rows, *bare))])

    def read_row(self, cells: dict[str, str]) -> Row | None:
        row = super().read_row(cells)
        if row is None and cells["uuid"].startswith("QPU-"):
            return Row(cells["name"], DeviceIds(uuid=cells["uuid"]))
        return row

    def read_rows(self, source: str, text: str, separator: str, cards: list[PciDevice] | None) -> Reading:
        reading = super().read_rows(source, text, separator, None)
        own = {card.bdf for card in cards or ()}
        return attrs.evolve(
            reading, rows=tuple(r for r in reading.rows if r.ids.bdf is None or r.ids.bdf in own)
        )


@MUTANTS.add("HD-04", "expects every row to be whole")
class RaisesOnShortRows(ReferenceDetector):
    def read_rows(self, source: str, text: str, separator: str, cards: list[PciDevice] | None) -> Reading:
        if separator == ",":
            for line in text.splitlines()[1:]:
                line.split(",")[6].index("MiB")
        return super().read_rows(source, text, separator, cards)


@MUTANTS.add("HD-04", "expects numbers where the tool prints N/A or a local form")
class RaisesOnWords(ReferenceDetector):
    def read_row(self, cells: dict[str, str]) -> Row | None:
        row = super().read_row(cells)
        if row is not None and "memory" in cells:
            return attrs.evolve(row, total_mib=int(cells["memory"].split()[0]))
        return row


@MUTANTS.add("HD-04", "takes a file of facts that is cut short for granted")
class RaisesOnCutFiles(ReferenceDetector):
    def read_node(self, probe: Probe, folder: str, cards: list[PciDevice] | None) -> Row | None:
        text = probe.read_file(f"{folder}/facts")
        if isinstance(text, str) and not text.rstrip().endswith("}"):
            raise ValueError(f"{folder}/facts is malformed")
        return super().read_node(probe, folder, cards)


@MUTANTS.add("HD-04", "a number with separators runs together with that of the next column")
class JoinsNumbers(ReferenceDetector):
    def read_row(self, cells: dict[str, str]) -> Row | None:
        row = super().read_row(cells)
        if row is None or "memory" not in cells:
            return row
        digits = re.sub(r"\D", "", "".join(cells[name] for name in ("memory", "used") if name in cells))
        wrong = (
            not cells["memory"].removesuffix(" MiB").isascii()
            or "," in cells["memory"]
            or "." in cells["memory"]
        )
        return attrs.evolve(row, total_mib=int(digits)) if wrong and digits else row


@MUTANTS.add("HD-07", "a pattern that backtracks without end over a long line")
class Backtracks(ReferenceDetector):
    def lines(self, text: str) -> list[str]:
        lines = super().lines(text)
        return [
            line for line in lines if re.match(r"^((\w+[ ,|:.-]*)*)$", line) or "|" in line or "," in line
        ]
