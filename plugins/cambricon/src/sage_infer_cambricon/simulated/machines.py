"""Machines with MLU devices, recorded as they would be, for the conformance kit and the tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sage_infer_contracts.devices import DeviceIds
from sage_infer_contracts.probe import CommandResult, PciDevice, ProbeRecording
from sage_infer_contracts.testing import RecordedMachine

from ..detector import PCI_VENDOR, VISIBLE, VISIBLE_FIRST
from ..procfs import CARDS, INSTANCES, NEUWARE, NODES
from . import formats
from .cards import m9_cards, x4_cards, x8_boards
from .formats import Family, Printed

_MISSING = CommandResult(missing=True)
_PCI_IDS = {"MLU370": "0370", "MLU590": "0590"}


def pci(devices: Sequence[Printed], *, numa: Sequence[int | None] = ()) -> tuple[PciDevice, ...]:
    """Return the bus: the devices, and the root port and the display of any server. ``numa`` has a node a device."""
    own = [
        PciDevice(
            bdf=one.bdf,
            vendor=PCI_VENDOR,
            device=_PCI_IDS.get(one.name.partition("-")[0], "0370"),
            device_class="120000",
            numa_node=numa[number] if number < len(numa) else 0 if number < len(devices) / 2 else 1,
            driver="cambricon-pci-drv",
        )
        for number, one in enumerate(devices)
    ]
    others = [
        PciDevice(bdf="0000:00:00.0", vendor="8086", device="2020", device_class="060000"),
        PciDevice(bdf="0000:02:00.0", vendor="1a03", device="2000", device_class="030000", driver="ast"),
    ]
    return tuple(sorted([*others, *own], key=lambda one: one.bdf))


def matrix(devices: Sequence[Printed], *, group: int = 8) -> str:
    """Return a matrix of ``group`` cards linked by MLU-Link below one CPU, and of groups joined by CPUs."""
    cards = [one.index for one in devices]
    codes = {
        (one, other): "MLK" if one // group == other // group else "CPU"
        for one in cards
        for other in cards
        if one != other
    }
    return formats.topology(
        codes, cards, {card: "0-27,56-83" if card < len(cards) / 2 else "28-55,84-111" for card in cards}
    )


def machine(
    devices: Sequence[Printed],
    family: Family,
    *,
    without: Sequence[str] = (),
    shown: Sequence[Printed] | None = None,
    note: str = "generated",
) -> ProbeRecording:
    """Return a machine. ``without`` leaves out ``table``, ``info``, ``topology``, ``driver`` or ``pci``.

    ``shown`` are the devices that the tool shows, where it does not show all.
    """
    seen = devices if shown is None else shown
    commands = {
        "cnmon": _answer("table", without, formats.table(seen, family)),
        "cnmon info": _answer("info", without, formats.info(seen)),
        "cnmon topo -m": _answer("topology", without, matrix(seen) if len(seen) > 1 else ""),
    }
    if "topology" not in without:
        commands |= {f"cnmon mlulink -c {one.index} -s": _done(formats.ports(4, 6)) for one in seen}
    driver = () if "driver" in without else devices
    minors = {one.bdf: one.index for one in driver}
    return ProbeRecording(
        pci=None if "pci" in without else pci(devices),
        files={
            **{f"{CARDS}/{one.bdf}/information": formats.information(one, minors[one.bdf]) for one in driver},
            NEUWARE: None if "driver" in without else "Neuware Version 3.9.0\n",
        },
        directories={
            CARDS: tuple(one.bdf for one in driver) or None,
            NODES: ("null", *(f"cambricon_dev{minor}" for minor in minors.values()), "cambricon_ctl")[
                : 2 + len(minors)
            ],
            INSTANCES: None,
        },
        environment={VISIBLE: None, VISIBLE_FIRST: None},
        commands=commands,
        note=note,
    )


def _answer(name: str, without: Sequence[str], text: str) -> CommandResult:
    return _MISSING if name in without else _done(text)


def _done(text: str) -> CommandResult:
    return CommandResult(stdout=text, exit_status=0)


def failing(recording: ProbeRecording, message: str) -> ProbeRecording:
    """Return the machine with a tool that cannot reach the driver."""
    broken = {key: CommandResult(stderr=message, exit_status=1) for key in recording.commands}
    return recording.model_copy(update={"commands": broken})


def known(
    recording: ProbeRecording,
    devices: Sequence[Printed],
    *names: str,
    state: str = "present",
) -> RecordedMachine:
    """Return the machine with what must be said of it; ``names`` are the identities that its sources tell."""
    ids = tuple(
        DeviceIds.model_validate(
            {
                name: value
                for name, value in (
                    ("index", one.index),
                    ("minor", one.index),
                    ("uuid", one.uuid),
                    ("bdf", one.bdf),
                )
                if name in names
            }
        )
        for one in devices
    )
    return RecordedMachine.model_validate(
        {"recording": recording, "state": state, "devices": len(devices), "ids": ids}
    )


def machines() -> Mapping[str, RecordedMachine]:
    """Return what the detector is judged on: every table family, with sources that fail, lack or contradict."""
    boards, ecc, cards, old = x8_boards(8), x8_boards(1, ecc=True), m9_cards(), x4_cards()
    every = ("index", "minor", "uuid", "bdf")
    small = m9_cards(1, name="MLU590-M9DG", total_mib=81920)
    return {
        "eight X8 boards, sixteen devices": known(machine(boards, "5.10"), boards, *every),
        "one X8 board with ECC": known(machine(ecc, "5.10"), ecc, *every),
        "two X8 devices, table only": known(
            machine(boards[:2], "5.10 SR-IOV", without=("info", "topology", "driver")),
            boards[:2],
            "index",
            "bdf",
        ),
        "eight MLU590 on release 6": known(machine(cards, "6.x"), cards, *every),
        "one MLU590-M9DG": known(machine(small, "6.x"), small, *every),
        "three X4 on release 4.20, table only": known(
            machine(old, "4.20", without=("info", "topology", "driver")), old, "index"
        ),
        "three X4 on release 4.20": known(machine(old, "4.20"), old, *every),
        "driver without a tool": known(
            machine(cards[:4], "6.x", without=("table", "info", "topology")), cards[:4], "minor", "bdf"
        ),
        "a table of which nothing else is known": known(
            ProbeRecording(
                commands={"cnmon": CommandResult(stdout=formats.table(boards[:2], "5.10 SR-IOV"))}
            ),
            boards[:2],
            "index",
            "bdf",
        ),
        "a virtual function in a virtual machine": _virtual(),
        "a card fell off the tool": known(
            machine(cards, "6.x", shown=cards[:7], without=("driver",)),
            cards[:7],
            "index",
            "bdf",
            state="partial",
        ),
        "the tool cannot reach the driver": RecordedMachine(
            recording=failing(machine(cards, "6.x", without=("driver",)), "cndevInit: no driver"),
            state="unreadable",
            devices=0,
        ),
        "no card": RecordedMachine(
            recording=machine([], "6.x", without=("table", "info", "topology", "driver")),
            state="absent",
            devices=0,
        ),
    }


def _virtual() -> RecordedMachine:
    """Return a virtual machine with half an MLU590: PCI has the id of a virtual function, the driver the name."""
    half = m9_cards(1, total_mib=49152)
    whole = machine(half, "6.x")
    function = [
        one.model_copy(update={"device": "0591"}) for one in whole.pci or () if one.bdf == half[0].bdf
    ]
    files = {f"{CARDS}/{half[0].bdf}/information": formats.information(half[0], 0, virtual=True)}
    return known(
        whole.model_copy(update={"pci": tuple(function), "files": {**whole.files, **files}}),
        half,
        "index",
        "minor",
        "uuid",
        "bdf",
    )
