"""What the conformance kit judges this distribution by: the detector, on machines of several kinds."""

from __future__ import annotations

from collections.abc import Mapping

from sage_infer_contracts.probe import ProbeRecording
from sage_infer_contracts.testing import RecordedMachine, Subject

from .detector import CpuDetector
from .machines import arm, container, mac, x86_numa


def recorded_machines() -> Mapping[str, RecordedMachine]:
    """Return generated machines, and what the detector owes on each: one processor device, if anything is known."""
    machines = {
        "x86 server": x86_numa(),
        "x86 with four sockets": x86_numa(sockets=4, cores=2, gib_per_node=16),
        "ARM board": arm(),
        "container": container(),
        "container with cgroup 1": container(version=1),
        "without /proc": mac(),
    }
    known = {
        name: RecordedMachine(recording=one, state="present", devices=1) for name, one in machines.items()
    }
    unknown = RecordedMachine(recording=ProbeRecording(), state="unreadable", devices=0)
    return {**known, "nothing recorded": unknown}


DETECTOR = Subject("detector", CpuDetector, fixtures=recorded_machines)
