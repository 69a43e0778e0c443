"""Correct but unusual detectors: none of them may be found to break a clause. NO_MACHINES has too little to show."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from uuid import NAMESPACE_OID, uuid5

import attrs

from sage_infer_conformance.kinds.detector.reference import (
    PCI_VENDOR,
    Reading,
    ReferenceDetector,
    Row,
    State,
)
from sage_infer_conformance.kinds.detector.reference_machines import FACTS, SUBJECT, dies, machine, pci
from sage_infer_contracts.detection import DetectionReport, DetectionStep
from sage_infer_contracts.devices import AcceleratorDescriptor, DeviceIds
from sage_infer_contracts.probe import CommandResult, PciDevice, Probe, ProbeRecording, Unknown
from sage_infer_contracts.testing import RecordedMachine, Subject


def _own(probe: Probe) -> list[PciDevice] | None:
    listed = probe.pci_devices()
    if isinstance(listed, Unknown):
        return None
    return [one for one in listed if one.vendor == PCI_VENDOR and one.device_class[:2] == "12"]


def _accelerator(name: str, **ids: object) -> AcceleratorDescriptor:
    return AcceleratorDescriptor(hardware_backend="odd", name=name, ids=DeviceIds.model_validate(ids))


def _report(state: State, reason: str | None, found: Sequence[AcceleratorDescriptor] = ()) -> DetectionReport:
    return DetectionReport(hardware_backend="odd", state=state, reason=reason, accelerators=tuple(found))


class EverythingIsPartial(ReferenceDetector):
    """Trusts nobody: whatever it finds, it says partial."""

    def report(
        self,
        state: State,
        reason: str | None,
        rows: Sequence[tuple[Row, int | None]] = (),
        steps: tuple[DetectionStep, ...] = (),
    ) -> DetectionReport:
        return super().report("partial", reason or "it may not be all there is", rows, steps)


class LeavesHiddenOut(ReferenceDetector):
    """Devices that the variable hides are not reported at all."""

    def visible(self, probe: Probe, rows: Sequence[Row]) -> list[tuple[Row, int | None]]:
        found = [one for one in super().visible(probe, rows) if one[1] is not None]
        return sorted(found, key=lambda one: one[1] or 0)


class HalfARowWillDo(ReferenceDetector):
    """Takes rows that end early, as long as their card is there; what is missing stays unknown."""

    def lines(self, text: str) -> list[str]:
        return [*super().lines(f"{text}\n")]

    def read_rows(self, source: str, text: str, separator: str, cards: list[PciDevice] | None) -> Reading:
        lines = [self.cells(line, separator) for line in self.lines(text)]
        titles: list[str] = next((cells for cells in lines if {"uuid", "bus-id", "name"} <= set(cells)), [])
        own = {card.bdf for card in cards or ()}
        rows: dict[str | None, Row] = {}
        for cells in lines if titles else ():
            named = dict(zip(titles, cells, strict=False))
            bdf = named.get("bus-id", "").lower()
            if bdf in own and len(cells) <= len(titles):
                whole = self.read_row(named) if "uuid" in named else None
                row = whole or Row(named.get("name") or "unknown device", DeviceIds(bdf=bdf))
                rows.setdefault(f"{bdf} {row.ids.uuid}", row)
        return Reading(tuple(rows.values()), None if rows else f"{source} shows no device")

    def conclude(
        self, probe: Probe, cards: list[PciDevice] | None, readings: Sequence[Reading]
    ) -> DetectionReport:
        return super().conclude(probe, cards, readings)


class CoProcessors(ReferenceDetector):
    """Its devices are co-processors; its vendor also makes the board controller, which shows a display."""

    def cards(self, probe: Probe) -> list[PciDevice] | None:
        listed = probe.pci_devices()
        if isinstance(listed, Unknown):
            return None
        return [one for one in listed if one.vendor == PCI_VENDOR and one.device_class.startswith("0b40")]


class OnManyThreads(ReferenceDetector):
    """Asks all sources at once, and loads a module of the standard library when it needs it."""

    def detect(self, probe: Probe) -> DetectionReport:
        import xml.etree.ElementTree

        assert xml.etree.ElementTree.Element("x").tag == "x"
        cards = self.cards(probe)
        if cards is not None and not cards:
            return self.report("absent", None)
        with ThreadPoolExecutor() as threads:
            asked = [
                threads.submit(read, probe, cards)
                for read in (self.read_csv, self.read_table, self.read_sysfs)
            ]
            readings = [one.result() for one in asked]
        used = next((number for number, one in enumerate(readings) if one.rows), len(readings) - 1)
        return self.conclude(probe, cards, readings[: used + 1])


class PciOnly:
    """Knows no tool: a card is a card, and nothing else is known of it."""

    hardware_backend = "odd"

    def detect(self, probe: Probe) -> DetectionReport:
        cards = _own(probe)
        if cards is None:
            return _report("unreadable", "PCI functions are not known")
        found = [
            _accelerator(f"Odd {one.device}", bdf=one.bdf) for one in cards if one.device_class[:2] == "12"
        ]
        return _report("partial" if found else "absent", "only PCI is asked" if found else None, found)


class SysfsOnly:
    """A chip that is no PCI device and has no tool, only a folder in sysfs."""

    hardware_backend = "odd"

    def detect(self, probe: Probe) -> DetectionReport:
        names = probe.list_dir("/sys/class/odd")
        if isinstance(names, Unknown):
            return _report("unreadable", "sysfs is not known")
        if names is None:
            return _report("absent", None)
        found = [self.read(probe, name) for name in names if re.fullmatch(r"odd[0-9]{1,4}", name, re.ASCII)]
        whole = all(one.memory_total_bytes is not None for one in found) and found
        return _report("present" if whole else "partial", None if whole else "not all can be read", found)

    def read(self, probe: Probe, name: str) -> AcceleratorDescriptor:
        said = probe.read_file(f"/sys/class/odd/{name}/product")
        product = (said.strip() if isinstance(said, str) else "") or "odd chip"
        size = probe.read_file(f"/sys/class/odd/{name}/memory_bytes")
        total = (
            int(size) if isinstance(size, str) and re.fullmatch(r"[0-9]{1,15}\n", size, re.ASCII) else None
        )
        found = _accelerator(product, minor=int(name[3:]))
        return found.model_copy(update={"memory_total_bytes": total})


class SixteenDies:
    """Prints JSON; a card has 16 dies at one address, which differ in their number only. Nothing has a UUID."""

    hardware_backend = "odd"

    def detect(self, probe: Probe) -> DetectionReport:
        cards = _own(probe)
        if not cards:
            return _report(
                "absent" if cards == [] else "unreadable", None if cards == [] else "PCI is not known"
            )
        result = probe.run(("odd-smi", "--json"), timeout_s=10.0)
        if isinstance(result, Unknown) or result.missing or result.timed_out or result.exit_status:
            return _report("unreadable", "odd-smi does not answer")
        try:
            listed = json.loads(result.stdout)["dies"]
            found = [self.read(one) for one in listed if one["bdf"] in {card.bdf for card in cards}]
        except (ValueError, KeyError, TypeError):
            return _report("unreadable", "odd-smi prints no JSON")
        return _report("present", None, found)

    def read(self, facts: Mapping[str, object]) -> AcceleratorDescriptor:
        found = _accelerator(str(facts["name"]), index=facts["die"], physical=facts["die"], bdf=facts["bdf"])
        return found.model_copy(update={"memory_total_bytes": int(str(facts["mib"])) * 2**20})


class RowsOnly:
    """A tool that prints a number and a name for each device, in columns between gaps, and nothing else."""

    hardware_backend = "odd"

    def detect(self, probe: Probe) -> DetectionReport:
        cards = _own(probe)
        if cards == []:
            return _report("absent", None)
        result = probe.run(("odd-smi",), timeout_s=10.0)
        if (
            isinstance(result, Unknown)
            or result.exit_status
            or result.missing
            or result.timed_out
            or cards is None
        ):
            return _report("unreadable", "odd-smi or PCI is not known")
        text = re.sub(r"\x1b\[[0-9;]*m", "", result.stdout)
        rows = dict(
            re.findall(r"^ *([0-9]{1,2}) {2,}(Odd [A-Z][0-9]+) {2,}Normal\s*$", text, re.MULTILINE | re.ASCII)
        )
        found = [_accelerator(name, index=int(number)) for number, name in rows.items()]
        lost = len(cards) - len(found)
        reason = f"{lost} devices are not shown" if lost else None
        return _report("partial" if lost else "present", reason, found if lost >= 0 else [])


class LibraryOnly:
    """Asks the vendor's library, which a script of the plugin's loads in a process of its own."""

    hardware_backend = "odd"

    def detect(self, probe: Probe) -> DetectionReport:
        if _own(probe) == []:
            return _report("absent", None)
        reply = probe.library("odd_plugin.ask", "devices")
        if not isinstance(reply, str):
            return _report("unreadable", "the library is missing or not known")
        devices = json.loads(reply)
        if not isinstance(devices, list):
            return _report("unreadable", "the library reports an error")
        return _report(
            "present",
            None,
            [_accelerator(one["name"], uuid=one["uuid"], logical=n) for n, one in enumerate(devices)],
        )


class AlwaysAProcessor:
    """Says present wherever it runs: there is always a processor, even if nothing is known of it."""

    hardware_backend = "odd"

    def detect(self, probe: Probe) -> DetectionReport:
        text = probe.read_file("/proc/cpuinfo")
        match = re.search(r"^model name\t: (.+)$", text, re.MULTILINE) if isinstance(text, str) else None
        return _report("present", None, [_accelerator(match[1])] if match else ())


def _known(
    recording: ProbeRecording, devices: int | None, state: State | None = "present"
) -> RecordedMachine:
    return RecordedMachine(recording=recording, state=state, devices=devices)


def _ones_tool(found: ProbeRecording, command: str, text: str) -> ProbeRecording:
    return found.model_copy(
        update={"commands": {command: CommandResult(stdout=text, exit_status=0)}, "files": {}}
    )


def _sysfs() -> Mapping[str, RecordedMachine]:
    files: dict[str, str | None] = {}
    for number in range(3):
        files[f"/sys/class/odd/odd{number}/product"] = "Odd S3\n"
        files[f"/sys/class/odd/odd{number}/memory_bytes"] = f"{24 * 2**30}\n"
    names = tuple(f"odd{number}" for number in range(3))
    return {"board": _known(ProbeRecording(files=files, directories={"/sys/class/odd": names}), 3)}


def _dies() -> Mapping[str, RecordedMachine]:
    found = dies(2, per_card=16)
    listed = [{"die": one.index, "bdf": one.bdf, "name": "Odd 16", "mib": 32768} for one in found]
    text = json.dumps({"dies": listed}, indent=1) + "\n"
    return {"two cards": _known(_ones_tool(machine(found), "odd-smi --json", text), 32)}


def _rows() -> Mapping[str, RecordedMachine]:
    found = dies(4)
    lines = [
        "==== System Management ====",
        "ODD   Name        Mode",
        *(f"{n}     Odd B{n}000   Normal" for n in range(4)),
    ]
    text = "\n".join([*lines, "==== End ====", ""])
    return {"four cards": _known(_ones_tool(machine(found), "odd-smi", text), 4)}


def _library() -> Mapping[str, RecordedMachine]:
    listed = [{"name": "Odd L", "uuid": str(uuid5(NAMESPACE_OID, str(number)))} for number in range(2)]
    recording = ProbeRecording(pci=pci(dies(2)), libraries={"odd_plugin.ask:devices": json.dumps(listed)})
    return {"two cards": _known(recording, 2)}


def _pci() -> Mapping[str, RecordedMachine]:
    return {"three cards": _known(machine(dies(3)), 3, "partial"), "none": _known(machine([]), 0, "absent")}


def _co_processors() -> Mapping[str, RecordedMachine]:
    machines = SUBJECT.fixtures() if SUBJECT.fixtures is not None else {}
    return {
        name: _as_co_processors(one) for name, one in machines.items() if isinstance(one, RecordedMachine)
    }


def _as_co_processors(one: RecordedMachine) -> RecordedMachine:
    display = PciDevice(bdf="0000:06:00.0", vendor=PCI_VENDOR, device="1711", device_class="030000")
    functions = (
        device.model_copy(update={"device_class": "0b4000"}) if device.vendor == PCI_VENDOR else device
        for device in one.recording.pci or ()
    )
    listed = tuple(sorted((*functions, display), key=lambda device: device.bdf))
    return one.model_copy(update={"recording": one.recording.model_copy(update={"pci": listed})})


def _without_states() -> Mapping[str, RecordedMachine]:
    machines = SUBJECT.fixtures() if SUBJECT.fixtures is not None else {}
    return {name: attrs_free(one) for name, one in machines.items() if isinstance(one, RecordedMachine)}


def attrs_free(one: RecordedMachine) -> RecordedMachine:
    """Return a machine of which nothing but the recording is known."""
    return RecordedMachine(recording=one.recording)


def _like_reference(made: type) -> Subject:
    return attrs.evolve(SUBJECT, create=made, fixtures=_without_states)


_VENDOR = {"pci_vendors": PCI_VENDOR}
SUBJECTS: dict[str, Subject] = {
    "partial": _like_reference(EverythingIsPartial),
    "hidden": _like_reference(LeavesHiddenOut),
    "half_rows": _like_reference(HalfARowWillDo),
    "threads": attrs.evolve(SUBJECT, create=OnManyThreads),
    "co_processors": Subject(
        "detector", CoProcessors, facts={**FACTS, "pci_classes": "0b40"}, fixtures=_co_processors
    ),
    "nothing_told": Subject("detector", ReferenceDetector, fixtures=_without_states),
    "no_machines": Subject("detector", ReferenceDetector, facts=FACTS),
    "pci": Subject("detector", PciOnly, facts=_VENDOR, fixtures=_pci),
    "sysfs": Subject("detector", SysfsOnly, fixtures=_sysfs),
    "dies": Subject("detector", SixteenDies, facts=_VENDOR, fixtures=_dies),
    "rows": Subject("detector", RowsOnly, facts=_VENDOR, fixtures=_rows),
    "library": Subject("detector", LibraryOnly, fixtures=_library),
    "processor": Subject("detector", AlwaysAProcessor),
}
globals().update({name.upper(): subject for name, subject in SUBJECTS.items()})
