"""Machines with devices of the invented vendor, written from the formats of its tool and its driver."""

from __future__ import annotations

import json
from collections.abc import Mapping
from uuid import NAMESPACE_OID, uuid5

import attrs

from sage_infer_contracts.backend import OptionValue
from sage_infer_contracts.devices import DeviceIds
from sage_infer_contracts.probe import CommandResult, PciDevice, ProbeRecording
from sage_infer_contracts.testing import RecordedMachine, Subject

from .reference import PCI_CLASS, PCI_VENDOR, QUERY, SYSFS, TABLE, VISIBLE, ReferenceDetector

FACTS: Mapping[str, OptionValue] = {
    "pci_vendors": PCI_VENDOR,
    "visible_variables": VISIBLE,
    "visible_uuids": True,
}
_TITLES = {
    "memory": "memory [MiB]",
    "used": "used [MiB]",
    "busy": "busy [%]",
    "bandwidth": "bandwidth [GB/s]",
}
_TABLE = ("index", "name", "bus-id", "uuid", "minor", "physical", "memory", "used", "busy")


@attrs.frozen(slots=True)
class Die:
    """One device."""

    index: int
    minor: int
    physical: int
    bdf: str
    name: str = "Quill X64 Pro"
    memory_mib: int = 98304
    used_mib: int = 3425
    busy_percent: int = 37

    @property
    def uuid(self) -> str:
        """Its UUID, the same at each run."""
        return f"QPU-{uuid5(NAMESPACE_OID, f'{self.bdf} {self.minor}')}"

    @property
    def ids(self) -> DeviceIds:
        """Its identities, but for its number in the runtime."""
        return DeviceIds(
            index=self.index, minor=self.minor, physical=self.physical, uuid=self.uuid, bdf=self.bdf
        )

    def cells(self) -> dict[str, str]:
        """Return what the tool prints of it."""
        return {
            "index": str(self.index),
            "name": self.name,
            "bus-id": self.bdf.upper(),
            "uuid": self.uuid,
            "minor": str(self.minor),
            "physical": str(self.physical),
            "memory": f"{self.memory_mib} MiB",
            "used": f"{self.used_mib} MiB",
            "busy": f"{self.busy_percent} %",
            "bandwidth": "1638.4 GB/s",
        }


def dies(cards: int, per_card: int = 1, first_bus: int = 0x3B) -> list[Die]:
    """Return devices whose numbers differ: rows from 0, nodes from 4 downwards in pairs, boards from 12."""
    count = cards * per_card
    return [
        Die(
            index=number,
            minor=number ^ 1 if number ^ 1 < count else number + 32,
            physical=12 + (count - 1 - number),
            bdf=f"0000:{first_bus + 2 * (number // per_card):02x}:00.0",
            memory_mib=98304 if per_card == 1 else 65536,
            used_mib=3425 + number,
        )
        for number in range(count)
    ]


def pci(found: list[Die]) -> tuple[PciDevice, ...]:
    """Return the cards, and the root port and the display function of any server."""
    cards = sorted({one.bdf for one in found})
    others = (
        PciDevice(bdf="0000:00:00.0", vendor="8086", device="2020", device_class="060000"),
        PciDevice(bdf="0000:02:00.0", vendor="1a03", device="2000", device_class="030000", driver="ast"),
    )
    own = (
        PciDevice(
            bdf=bdf, vendor=PCI_VENDOR, device="0064", device_class=PCI_CLASS, numa_node=0, driver="quill"
        )
        for bdf in cards
    )
    return (*others, *own)


def csv_text(found: list[Die]) -> str:
    """Return what the query prints."""
    titles = (
        ", ".join(_TITLES.get(name, name) for name in Die.cells(found[0])) if found else "name, bus-id, uuid"
    )
    return "".join(f"{line}\n" for line in (titles, *(", ".join(one.cells().values()) for one in found)))


def table_text(found: list[Die]) -> str:
    """Return the table that the tool prints when it is asked for nothing."""
    rows = [{name: name.capitalize() for name in _TABLE}, *(one.cells() for one in found)]
    widths = {name: max(len(row[name]) for row in rows) for name in _TABLE}
    rule = "+" + "+".join("-" * (width + 2) for width in widths.values()) + "+"
    lines = [
        "|" + "|".join(f" {row[name]:<{width}} " for name, width in widths.items()) + "|" for row in rows
    ]
    return "\n".join(["quill-smi 3.1.0", rule, lines[0], rule, *lines[1:], rule, ""])


def machine(found: list[Die], *, without: tuple[str, ...] = (), note: str = "generated") -> ProbeRecording:
    """Return a recording; ``without`` leaves out ``csv``, ``table`` or ``sysfs``."""
    commands: dict[str, CommandResult] = {}
    for key, name, text in ((QUERY, "csv", csv_text(found)), (TABLE, "table", table_text(found))):
        missing = name in without
        commands[" ".join(key)] = (
            CommandResult(missing=True) if missing else CommandResult(stdout=text, exit_status=0)
        )
    nodes = [] if "sysfs" in without else found
    names = tuple(f"quill{one.minor}" for one in nodes)
    files = {f"{SYSFS}/quill{one.minor}/facts": json.dumps(one.cells()) for one in nodes}
    return ProbeRecording(
        pci=pci(found),
        files=files,
        directories={SYSFS: names or None},
        environment={VISIBLE: None},
        commands=commands,
        note=note,
    )


def machines() -> Mapping[str, RecordedMachine]:
    """Return what the reference detector is judged on."""
    one, two, eight, sixteen = dies(1), dies(2), dies(8), dies(1, per_card=16)
    broken = machine(two, without=("csv", "table", "sysfs"))
    failing = broken.model_copy(
        update={
            "commands": {
                key: CommandResult(stderr="cannot reach the driver", exit_status=9) for key in broken.commands
            }
        }
    )
    return {
        "one card": _known(machine(one), one),
        "two cards": _known(machine(two), two),
        "two cards, table only": _known(machine(two, without=("csv", "sysfs")), two),
        "two cards, sysfs only": _known(machine(two, without=("csv", "table")), two),
        "eight cards": _known(machine(eight), eight),
        "sixteen dies on a card": _known(machine(sixteen), sixteen),
        "driver does not answer": RecordedMachine(recording=failing, state="unreadable", devices=0),
        "no card": RecordedMachine(recording=machine([]), state="absent", devices=0),
    }


def _known(recording: ProbeRecording, found: list[Die]) -> RecordedMachine:
    ids = tuple(one.ids for one in found)
    return RecordedMachine(recording=recording, state="present", devices=len(found), ids=ids)


SUBJECT = Subject("detector", ReferenceDetector, facts=FACTS, fixtures=machines)
