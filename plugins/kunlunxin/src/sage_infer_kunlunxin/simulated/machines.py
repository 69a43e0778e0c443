"""Recordings of simulated machines: every format, several generations of cards, and what goes wrong with them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sage_infer_contracts.probe import CommandResult, PciDevice, ProbeRecording
from sage_infer_contracts.testing import RecordedMachine

from . import formats, formats_tables
from .cards import Card, divided_p800, k200, p800, r300

NEW = ("xpu-smi -q", "xpu-smi -q -x", "xpu-smi -m", "xpu-smi", "xpu-smi -L", "xpu-smi topo -m")
OLD = ("xpu_smi", "xpu_smi -m")
_OTHERS = (
    PciDevice(bdf="0000:00:00.0", vendor="1022", device="1480", device_class="060000"),
    PciDevice(bdf="0000:02:00.0", vendor="1a03", device="2000", device_class="030000", driver="ast"),
    PciDevice(bdf="0000:c1:00.0", vendor="15b3", device="1021", device_class="020000", driver="mlx5_core"),
)


def machine(
    cards: Sequence[Card],
    *,
    commands: Collection[str] = NEW,
    driver: str = formats.DRIVER,
    faulty: Sequence[Card] = (),
    note: str = "simulated",
) -> ProbeRecording:
    """Return a machine on which just ``commands`` are installed; ``faulty`` cards are in its kernel's log."""
    texts = {
        "xpu-smi -q": formats.query(cards, driver=driver),
        "xpu-smi -q -x": formats.query_xml(cards, driver=driver),
        "xpu-smi -m": formats.machine_readable(cards),
        "xpu-smi": formats_tables.table(cards, driver=driver),
        "xpu-smi -L": formats.listing(cards),
        "xpu-smi topo -m": formats_tables.topology(cards),
        "xpu_smi": formats_tables.devices_table(cards),
        "xpu_smi -m": formats.machine_readable(cards),
    }
    answers = {
        name: CommandResult(stdout=text, exit_status=0) if name in commands else CommandResult(missing=True)
        for name, text in texts.items()
    }
    answers["dmesg"] = CommandResult(stdout=formats.kernel_log(*faulty), exit_status=0)
    nodes = sorted(f"xpu{card.minor}" for card in cards)
    return ProbeRecording(
        pci=tuple(sorted((*_OTHERS, *functions(cards)), key=lambda one: one.bdf)),
        files={"/proc/kunlun/version": f"KLRM version: KUNLUN x86_64 Kernel Module  {formats.DRIVER}\n"},
        directories={
            "/dev": ("null", *(("xpuctrl", *nodes) if cards else ()), "zero"),
            "/proc/kunlun": tuple(f"dev{card.minor}" for card in cards) or None,
            "/sys/module/kunlun": ("refcnt", "version") if cards else None,
        },
        environment={"XPU_VISIBLE_DEVICES": None, "CUDA_VISIBLE_DEVICES": None},
        commands=answers,
        note=note,
    )


def functions(cards: Sequence[Card]) -> list[PciDevice]:
    """Return the PCI functions of cards, one for those of several devices."""
    return list({card.bdf: card.function() for card in cards}.values())


def with_virtual_functions(
    cards: Sequence[Card], *, commands: Collection[str] = NEW
) -> tuple[ProbeRecording, list[Card]]:
    """Return a machine with a card and its virtual functions, which the tool shows as devices, and sysfs as parts."""
    recording = machine(cards, commands=commands)
    card = cards[0]
    uevent = f"DRIVER=kunlun\nPCI_CLASS=120000\nPCI_ID=2057:3686\nPCI_SLOT_NAME={card.bdf}\n"
    files = {f"/sys/bus/pci/devices/{part.bdf}/physfn/uevent": uevent for part in cards[1:]}
    return recording.model_copy(update={"files": {**recording.files, **files}}), list(cards)


def with_intels_tool(recording: ProbeRecording) -> ProbeRecording:
    """Return the machine with a GPU of Intel's besides, whose tool ``xpu-smi`` is found before Kunlunxin's."""
    commands = {**recording.commands, **intel().commands}
    commands |= {
        f"xpu_smi{name.removeprefix('xpu-smi')}": result
        for name, result in recording.commands.items()
        if name in NEW
    }
    pci = (*(recording.pci or ()), *(one for one in intel().pci or () if one.vendor == "8086"))
    return recording.model_copy(
        update={"commands": commands, "pci": tuple(sorted(pci, key=lambda one: one.bdf))}
    )


def failing(cards: Sequence[Card], *, status: int = 255) -> ProbeRecording:
    """Return a machine whose driver does not answer."""
    recording = machine(cards)
    failed = CommandResult(stderr="failed to initialise the driver\n", exit_status=status)
    return recording.model_copy(update={"commands": dict.fromkeys(recording.commands, failed)})


def intel() -> ProbeRecording:
    """Return a machine with Intel's accelerator and Intel's tool, which has the same name and prints a like table."""
    bdf = "0000:29:00.0"
    table = CommandResult(stdout=formats_tables.intels_table(bdf), exit_status=0)
    refused = CommandResult(
        stderr="The following argument was not expected: -q\nRun with --help for more information.\n",
        exit_status=109,
    )
    card = PciDevice(bdf=bdf, vendor="8086", device="e20b", device_class="030000", driver="xe")
    return ProbeRecording(
        pci=(*_OTHERS, card),
        directories={"/dev": ("dri", "null"), "/proc/kunlun": None, "/sys/module/kunlun": None},
        environment={"XPU_VISIBLE_DEVICES": None, "CUDA_VISIBLE_DEVICES": None},
        commands={
            **dict.fromkeys(NEW, refused),
            "xpu-smi": table,
            **dict.fromkeys(OLD, CommandResult(missing=True)),
        },
        note="simulated: Intel",
    )


def recorded_machines() -> Mapping[str, RecordedMachine]:
    """Return what the conformance kit judges the detector on, with what is known of each."""
    eight, two = p800(8), p800(2)
    baidus = p800(2, vendor="1d22", device="3688")
    controllers = p800(2, device_class="078000")
    parts, slices = with_virtual_functions(divided_p800())
    both = with_intels_tool(machine(two))
    old = k200()
    return {
        "one P800": _known(machine(p800(1)), p800(1)),
        "eight P800": _known(machine(eight), eight),
        "eight P800, table only": _known(machine(eight, commands=["xpu-smi"]), eight, "index", "bdf"),
        "two P800, machine-readable only": _known(machine(two, commands=["xpu-smi -m"]), two, "index", "bdf"),
        "two P800, XML only": _known(machine(two, commands=["xpu-smi -q -x"]), two),
        "two P800, list only": _known(machine(two, commands=["xpu-smi -L"]), two, "index", "uuid"),
        "two P800 that are controllers": _known(machine(controllers), controllers),
        "two P800 with Baidu's id": _known(machine(baidus), baidus),
        "a P800 in parts": _known(parts, slices),
        "a P800 that hangs": _known(machine(two, faulty=two[1:]), two),
        "a container's alias of the driver": _known(machine(two, driver="515.58"), two),
        "two K200 of two devices": _known(machine(old, commands=OLD), old, "index", "minor", "bdf"),
        "K200, machine-readable only": _known(machine(old, commands=OLD[1:]), old, "index", "bdf"),
        "two R300": _known(machine(r300(), commands=OLD), r300(), "index", "minor", "bdf"),
        "the driver does not answer": RecordedMachine(recording=failing(two), state="unreadable", devices=0),
        "Intel's GPU and tool, and two P800": _known(both, two),
        "Intel's machine": RecordedMachine(recording=intel(), state="absent", devices=0),
        "no card": RecordedMachine(recording=machine([], commands=()), state="absent", devices=0),
    }


def _known(recording: ProbeRecording, cards: Sequence[Card], *ids: str) -> RecordedMachine:
    known = tuple(card.ids(*ids) for card in cards)
    return RecordedMachine(recording=recording, state="present", devices=len(cards), ids=known)
