"""An executable nvidia-smi that replays a machine: whole, cut, noisy, failing and hanging."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import attrs
import pytest

from sage_infer_contracts.detection import DetectionReport
from sage_infer_contracts.probe import CommandResult, PciDevice, ProbeRecording, Unknown
from sage_infer_contracts.testing import Damage, FakeMachine, write_machine
from sage_infer_cuda.detector import CudaDetector
from sage_infer_cuda.simulated.gpus import gpus
from sage_infer_cuda.simulated.machines import machine


@attrs.frozen
class FolderProbe:
    """Looks at a fake machine: its tools are run, its files read below a folder."""

    fake: FakeMachine
    pci: tuple[PciDevice, ...]
    limit_s: float = 10.0

    def pci_devices(self) -> Sequence[PciDevice]:
        return self.pci

    def read_file(self, path: str) -> str | None:
        place = self.fake.root / path.lstrip("/")
        return place.read_text(encoding="utf-8") if place.is_file() else None

    def list_dir(self, path: str) -> Sequence[str] | None:
        place = self.fake.root / path.lstrip("/")
        return sorted(os.listdir(place)) if place.is_dir() else None

    def environ(self, name: str) -> str | None:
        return self.fake.environment.get(name)

    def run(self, command: Sequence[str], *, timeout_s: float) -> CommandResult:
        tool = shutil.which(command[0], path=self.fake.environment["PATH"])
        if tool is None:
            return CommandResult(missing=True)
        environment = self.fake.applied_to({"PATH": ""})
        try:
            done = subprocess.run(
                [tool, *command[1:]],
                env=environment,
                capture_output=True,
                timeout=min(timeout_s, self.limit_s),
                check=False,
            )
        except subprocess.TimeoutExpired:
            return CommandResult(timed_out=True)
        return CommandResult(
            stdout=done.stdout.decode(errors="replace"),
            stderr=done.stderr.decode(errors="replace"),
            exit_status=done.returncode,
        )

    def library(self, name: str, call: str) -> str | Unknown | None:
        return None


def look(folder: Path, recording: ProbeRecording, damage: Damage, limit_s: float = 10.0) -> DetectionReport:
    fake = write_machine(folder, recording, {"nvidia-smi": damage})
    return CudaDetector().detect(FolderProbe(fake, tuple(recording.pci or ()), limit_s))


RECORDING = machine(gpus(2), "csv", "topology", "nvlink", "proc")


@pytest.mark.parametrize(
    ("damage", "state", "devices"),
    [
        (Damage(), "present", 2),
        (Damage(before=("[HAMI-core Warn]: shim",), after=("exit handler",)), "present", 2),
        (Damage(drop_lines=gpus(2)[1].bus_id), "partial", 2),  # the driver's folder still shows it
        (Damage(cut_at_byte=330), "partial", 2),
        (Damage(stderr="cannot reach the driver", exit_status=9, cut_at_byte=0), "partial", 2),
    ],
)
def test_a_damaged_tool_costs_or_invents_devices(
    tmp_path: Path, damage: Damage, state: str, devices: int
) -> None:
    report = look(tmp_path, RECORDING, damage)
    assert (report.state, len(report.accelerators)) == (state, devices)
    assert {one.ids.minor for one in report.accelerators} == {0, 1}


def test_a_tool_that_hangs_is_waited_for_twice(tmp_path: Path) -> None:
    report = look(tmp_path, RECORDING, Damage(hang=True), limit_s=0.3)
    assert report.state == "partial"
    assert "did not answer in time" in (report.reason or "")
