"""What the tests of the detector share: reports of recordings, and recordings with something changed."""

from __future__ import annotations

from collections.abc import Mapping

from sage_infer_contracts.detection import DetectionReport
from sage_infer_contracts.devices import AcceleratorDescriptor
from sage_infer_contracts.probe import CommandResult, PciDevice, ProbeRecording, RecordingProbe
from sage_infer_hygon.detector import HygonDetector

AMD = PciDevice(bdf="0000:c1:00.0", vendor="1002", device="740f", device_class="038000", driver="amdgpu")
NVIDIA = PciDevice(bdf="0000:c2:00.0", vendor="10de", device="2330", device_class="030200", driver="nvidia")
ONLY_TABLE = ("json", "lines", "topology", "rocminfo", "health")


def detect(recording: ProbeRecording) -> DetectionReport:
    return HygonDetector().detect(recording.replay())


def edited(recording: ProbeRecording, **fields: object) -> ProbeRecording:
    return recording.model_copy(update=fields)


def with_commands(recording: ProbeRecording, commands: Mapping[str, CommandResult]) -> ProbeRecording:
    return edited(recording, commands={**recording.commands, **commands})


def by_index(report: DetectionReport) -> dict[int | None, AcceleratorDescriptor]:
    return {one.ids.index: one for one in report.accelerators}


def asked(recording: ProbeRecording) -> list[str]:
    probe = RecordingProbe(recording.replay())
    HygonDetector().detect(probe)
    return list(probe.recording().commands)
