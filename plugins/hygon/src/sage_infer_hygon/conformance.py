"""What the conformance kit judges this distribution by: the detector, on machines of every generation of the tools."""

from __future__ import annotations

from collections.abc import Mapping

from sage_infer_contracts.probe import CommandResult, ProbeRecording
from sage_infer_contracts.testing import RecordedMachine, Subject

from .detector import HygonDetector
from .gate import PCI_CLASSES, PCI_VENDOR
from .simulated import formats
from .simulated.cards import Card, bw_cards, k100_cards, z100_cards
from .simulated.machines import ids_of, machine
from .visible import VISIBLE_VARIABLES

FACTS = {
    "pci_vendors": PCI_VENDOR,
    "pci_classes": ",".join(PCI_CLASSES),
    "visible_variables": ",".join(VISIBLE_VARIABLES),
}


def recorded_machines() -> Mapping[str, RecordedMachine]:
    """Return generated machines, and what the detector owes on each."""
    new, k100, z100 = bw_cards(), k100_cards(), z100_cards()
    single = ("json", "table", "lines", "topology", "rocminfo", "health")

    def only(*kept: str) -> tuple[str, ...]:
        return tuple(one for one in single if one not in kept)

    return {
        "eight cards, DTK 26.04": _known(machine(new), new),
        "eight cards, no commas": _known(machine(new, family=formats.NEW_WITHOUT_COMMAS), new),
        "eight K100_AI, DTK 25.04": _known(
            machine(k100, family=formats.K100_ERA, driver="6.3.8", dtk="DTK-25.04"), k100
        ),
        "two K100_AI, lines only": _known(
            machine(k100[:2], family=formats.K100_ERA, without=only("lines")),
            k100[:2],
        ),
        "four Z100": _known(machine(z100, family=formats.Z100_ERA, program="rocm-smi"), z100),
        "two Z100, called GPU": _known(
            machine(z100[:2], family=formats.ROCM_ERA, program="rocm-smi"), z100[:2]
        ),
        "one card, table only": _known(machine(new[:1], without=only("table")), new[:1], by_uuid=False),
        "two cards, rocminfo only": _unnumbered(machine(new[:2], without=only("rocminfo")), new[:2]),
        "driver does not answer": RecordedMachine(recording=_failing(new[:2]), state="unreadable", devices=0),
        "no card": RecordedMachine(recording=_none(), state="absent", devices=0),
    }


def _known(recording: ProbeRecording, cards: list[Card], *, by_uuid: bool = True) -> RecordedMachine:
    ids = ids_of(cards, by_uuid=by_uuid)
    return RecordedMachine(recording=recording, state="present", devices=len(cards), ids=ids)


def _unnumbered(recording: ProbeRecording, cards: list[Card]) -> RecordedMachine:
    ids = tuple(one.model_copy(update={"index": None}) for one in ids_of(cards))
    return RecordedMachine(recording=recording, state="present", devices=len(cards), ids=ids)


def _failing(cards: list[Card]) -> ProbeRecording:
    """The tool says on its other channel that the driver is not there, and ends with status 0."""
    said = CommandResult(
        stderr="ERROR:root:Driver not initialized (hycu not found in modules)\n", exit_status=0
    )
    base = machine(cards)
    return base.model_copy(
        update={
            "commands": {key: one if one.missing else said for key, one in base.commands.items()},
            "files": {**base.files, "/sys/module/hycu/version": None},
        }
    )


def _none() -> ProbeRecording:
    base = machine([])
    return base.model_copy(
        update={"files": dict.fromkeys(base.files), "directories": {"/dev": ("null",)}, "commands": {}}
    )


DETECTOR = Subject("detector", HygonDetector, facts=FACTS, fixtures=recorded_machines)
