"""What the conformance kit judges this distribution by: the detector, on machines of every family."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from sage_infer_contracts.devices import DeviceIds
from sage_infer_contracts.probe import CommandResult, PciDevice, ProbeRecording
from sage_infer_contracts.testing import RecordedMachine, Subject

from .detector import AscendDetector
from .gate import DRIVER_FILE, PCI_VENDOR
from .simulated.formats import Npu
from .simulated.machines import Host, a1, a2, a3, a5, kunpeng, p310
from .visible import VARIABLE

_NOISE = (
    "[INFO limiter::supervisor] [Supervisor PID:10] won manager election\n"
    "[Global] Global Registry not exist, now creating...\n"
)
_REFUSED = CommandResult(
    stdout="dcmi module initialize failed. ret is -8005\n",
    stderr="DrvMngGetConsoleLogLevel failed. (ret=4)\n",
    exit_status=255,
)
_HANGS = CommandResult(timed_out=True)


def recorded_machines() -> Mapping[str, RecordedMachine]:
    """Return generated machines, and what the detector owes on each."""
    whole = {
        "A2, eight 910B3": a2(),
        "A2, one card": a2(1),
        "A3, sixteen dies": a3(),
        "A3, a wider table": a3(2, version="26.0.rc2", extra=18),
        "A5 on PCI": a5(2),
        "A5 on the unified bus": a5(2, on_pci=False),
        "910A": a1(),
        "310P3": p310(),
        "310P3, two chips a card": p310(4, per_card=2),
        "virtual NPU in a container": _sliced(),
    }
    machines = {name: _present(host.recording(f"generated: {name}"), host) for name, host in whole.items()}
    return {
        **machines,
        "container with two of eight": _container(),
        "one of four not shown": RecordedMachine(recording=_lost(), state="partial", devices=3),
        "driver refuses": RecordedMachine(
            recording=a2(2).recording(info=_REFUSED, map=_REFUSED, topo=_REFUSED),
            state="unreadable",
            devices=0,
        ),
        "tool hangs": RecordedMachine(
            recording=a2(2).recording(info=_HANGS, map=_HANGS, topo=_HANGS), state="unreadable", devices=0
        ),
        "Kunpeng without NPU": RecordedMachine(recording=_without(), state="absent", devices=0),
        "another vendor's card": RecordedMachine(recording=_foreign(), state="absent", devices=0),
    }


def _present(recording: ProbeRecording, host: Host) -> RecordedMachine:
    shown = host.family in ("A3", "A5", "A5_UB")  # the others print no physical ids
    ids = tuple(
        DeviceIds(
            index=one.npu,
            logical=one.logic,
            physical=one.physical if shown else None,
            bdf=one.bdf.lower() if one.bus is not None else None,
        )
        for one in host.npus
    )
    return RecordedMachine(recording=recording, state="present", devices=len(ids), ids=ids)


def _sliced() -> Host:
    part = Npu(npu=32768, bus=0x81, name="310P3", total_mib=8192, used_mib=100)
    return Host(family="310P", npus=(part,), noise=_NOISE)


def _container() -> RecordedMachine:
    """Two NPUs of A3 were handed in; the bus shows all of the host's."""
    host = a3()
    part = tuple(attrs.evolve(one, logic=at) for at, one in enumerate(host.npus[12:14]))
    given = Host(
        family="A3", npus=part, kinds=[["X", "SIO"], ["SIO", "X"]], nodes=(12, 13), boards=True
    ).recording("generated: a container with one NPU of eight")
    update = {"pci": host.recording().pci, "files": {**given.files, "/.dockerenv": ""}}
    ids = tuple(DeviceIds(index=6, logical=at, physical=12 + at, minor=12 + at) for at in range(2))
    return RecordedMachine(recording=given.model_copy(update=update), state="present", devices=2, ids=ids)


def _lost() -> ProbeRecording:
    """Four cards on the bus, of which the driver lost one."""
    return (
        a2(3).recording("generated: one of four not shown").model_copy(update={"pci": a2(4).recording().pci})
    )


def _without() -> ProbeRecording:
    return ProbeRecording(
        pci=kunpeng(),
        files={DRIVER_FILE: None},
        directories={"/dev": ("null",)},
        environment={VARIABLE: None},
    )


def _foreign() -> ProbeRecording:
    other = PciDevice(bdf="0000:3b:00.0", vendor="10de", device="2330", device_class="030200")
    network = PciDevice(bdf="0000:5e:00.0", vendor=PCI_VENDOR, device="0222", device_class="020000")
    return ProbeRecording(
        pci=(other, network), files={DRIVER_FILE: None}, directories={"/dev": ("nvidia0",)}, note="generated"
    )


DETECTOR = Subject(
    "detector",
    AscendDetector,
    facts={"pci_vendors": PCI_VENDOR, "pci_classes": "1200", "visible_variables": VARIABLE},
    fixtures=recorded_machines,
)
