"""The machines that the detector is judged on, and what is known of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from sage_infer_contracts.devices import DeviceIds
from sage_infer_contracts.probe import CommandResult, PciDevice, ProbeRecording
from sage_infer_contracts.testing import RecordedMachine

from ..asking import CSV, LIST, NVLINK, TABLE, TEXT, TOOL, TOPOLOGY, XML
from ..parsing.nvml import CALL, MODULE
from ..parsing.proc import ROOT
from ..visible import DEVICES, ORDER
from .formats import csv_text, list_text, nvlink_text, table_text, topology_text
from .formats_query import library_reply, proc_files, query_text, query_xml
from .gpus import Gpu, divided, gpus

NO_DRIVER = (
    "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. "
    "Make sure that the latest NVIDIA driver is installed and running.\n\n"
)
_EVERYTHING = ("library", "csv", "xml", "text", "table", "list", "topology", "nvlink", "proc")
_RATES = dict.fromkeys(range(18), 26.562)


def pci(found: Sequence[Gpu]) -> tuple[PciDevice, ...]:
    """Return the GPUs with their audio functions, a switch of NVIDIA's, and what is on the bus of any server."""
    own = [
        PciDevice(
            bdf=gpu.bdf, vendor="10de", device=gpu.pci_device, device_class="030200", numa_node=gpu.numa_node,
            driver="nvidia",
        )
        for gpu in found
    ]  # fmt: skip
    others = [
        PciDevice(bdf="0000:00:00.0", vendor="8086", device="2020", device_class="060000"),
        PciDevice(bdf="0000:02:00.0", vendor="1a03", device="2000", device_class="030000", driver="ast"),
        PciDevice(bdf="0000:07:00.0", vendor="10de", device="22a3", device_class="068000"),
        *(
            PciDevice(bdf=f"{gpu.bdf[:-1]}1", vendor="10de", device="10fa", device_class="040300")
            for gpu in found[:1]
        ),
    ]
    return tuple(sorted([*own, *others], key=lambda one: one.bdf))


def machine(
    found: Sequence[Gpu],
    *shown: str,
    table: str = "new",
    schema: int = 12,
    order: str | None = None,
    note: str = "generated",
) -> ProbeRecording:
    """Return a recording with the sources ``shown`` (all: everything); the others are known not to be there."""
    wanted = _EVERYTHING if shown == ("all",) else shown
    texts = {
        CSV: ("csv", csv_text(found)),
        XML: ("xml", query_xml(found, schema=schema)),
        TEXT: ("text", query_text(found)),
        TABLE: ("table", table_text(found, style=table)),
        LIST: ("list", list_text(found)),
        TOPOLOGY: ("topology", topology_text(found, "NV18", nics=("mlx5_0", "mlx5_1"))),
        NVLINK: ("nvlink", nvlink_text(found, _RATES)),
    }
    commands = {
        " ".join((TOOL, *arguments)): CommandResult(stdout=text, exit_status=0)
        if name in wanted
        else CommandResult(missing=True)
        for arguments, (name, text) in texts.items()
    }
    driver = "proc" in wanted
    reply = library_reply(found, links=18) if "library" in wanted else None
    return ProbeRecording(
        pci=pci(found),
        files=proc_files(found) if driver else {},
        directories={f"{ROOT}/gpus": tuple(sorted(gpu.bdf for gpu in found)) if driver else None},
        environment={DEVICES: None, ORDER: order},
        commands=commands,
        libraries={f"{MODULE}:{CALL}": reply},
        note=note,
    )


def recorded_machines() -> Mapping[str, RecordedMachine]:
    """Return machines with each family of sources alone and together, and some on which the driver fails."""
    two, eight = gpus(2), gpus(8)
    mixed = [
        *gpus(1),
        attrs.evolve(gpus(2)[1], name="NVIDIA L40S", pci_device="26b9", memory_mib=46068, mig=None),
    ]
    card = attrs.evolve(
        gpus(1)[0], name="NVIDIA GeForce RTX 4090", pci_device="2684", memory_mib=24564, uncorrected=None, mig=None,
        compute_capability="8.9",
    )  # fmt: skip
    tool = ("index", "uuid", "bdf")
    return {
        "eight GPUs, everything": _known(machine(eight, "all"), eight, *tool, "minor"),
        "eight GPUs, NVML only": _known(machine(eight, "library"), eight, *tool, "minor"),
        "eight GPUs, CSV and topology": _known(machine(eight, "csv", "topology", "nvlink"), eight, *tool),
        "two GPUs, XML v11": _known(machine(two, "xml", schema=11), two, "uuid", "bdf", "minor"),
        "two GPUs, XML v13 and list": _known(
            machine(two, "xml", "list", schema=13), two, "uuid", "bdf", "minor"
        ),
        "two GPUs, -q": _known(machine(two, "text"), two, "uuid", "bdf", "minor"),
        "two GPUs, table and driver": _known(machine(two, "table", "proc"), two, *tool, "minor"),
        "two GPUs, old table": _known(machine(two, "table", table="old"), two, "index", "bdf"),
        "one card, table of 610": _known(machine([card], "table", table="610"), [card], "index", "bdf"),
        "one card, list": _known(machine([card], "list"), [card], "index", "uuid", "bdf"),
        "two GPUs, list and driver": _known(machine(two, "list", "proc"), two, *tool, "minor"),
        "two GPUs, driver only": _known(machine(two, "proc"), two, "uuid", "bdf", "minor"),
        "two products": _known(machine(mixed, "csv", "proc", order="PCI_BUS_ID"), mixed, *tool, "minor"),
        "MIG, table": _divided(machine([divided()], "table")),
        "MIG, CSV and XML": _divided(machine([divided()], "csv", "xml")),
        **_failing(two),
    }


def _known(recording: ProbeRecording, found: Sequence[Gpu], *names: str) -> RecordedMachine:
    ids = tuple(gpu.ids(*names) for gpu in found)
    return RecordedMachine(recording=recording, state="present", devices=len(found), ids=ids)


def _divided(recording: ProbeRecording) -> RecordedMachine:
    gpu = divided()
    ids = (DeviceIds(bdf=gpu.bdf),)
    return RecordedMachine(recording=recording, state="present", devices=1 + len(gpu.migs), ids=ids)


def _failing(found: Sequence[Gpu]) -> Mapping[str, RecordedMachine]:
    whole = machine(found, "proc")
    lost = library_reply(found, lost={1: "GPU is lost"})
    handle = f"Unable to determine the device handle for GPU{found[1].bdf.upper()}: Unknown Error\n"
    rows = csv_text(found[:1]) + handle
    return {
        "no driver": _broken(machine(found), CommandResult(stdout=NO_DRIVER, exit_status=9)),
        "another version": _broken(
            machine(found),
            CommandResult(
                stdout="Failed to initialize NVML: Driver/library version mismatch\n", exit_status=18
            ),
        ),
        "one GPU lost, NVML": RecordedMachine(
            recording=machine(found).model_copy(update={"libraries": {f"{MODULE}:{CALL}": lost}}),
            state="partial",
            devices=1,
            ids=(found[0].ids("index", "uuid", "bdf", "minor"),),
        ),
        "one GPU lost, CSV": RecordedMachine(
            recording=_answering(machine(found), CommandResult(stdout=rows, exit_status=15)),
            state="partial",
            devices=1,
            ids=(found[0].ids("index", "uuid", "bdf"),),
        ),
        "tool fails, driver shows GPUs": RecordedMachine(
            recording=_answering(whole, CommandResult(stdout=NO_DRIVER, exit_status=9)),
            state="partial",
            devices=2,
        ),
        "no GPU": RecordedMachine(recording=machine([]), state="absent", devices=0),
        "nothing recorded": RecordedMachine(recording=ProbeRecording(), state="unreadable", devices=0),
    }


def _broken(recording: ProbeRecording, answer: CommandResult) -> RecordedMachine:
    return RecordedMachine(recording=_answering(recording, answer), state="unreadable", devices=0)


def _answering(recording: ProbeRecording, answer: CommandResult) -> ProbeRecording:
    return recording.model_copy(update={"commands": dict.fromkeys(recording.commands, answer)})
