"""Fake tools and a fake sysfs: what a probe of a live machine would see, whole and damaged."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sage_infer_contracts.probe import ProbeRecording
from sage_infer_contracts.testing.damage import Damage, damaged
from sage_infer_contracts.testing.fake_machine import write_machine
from sage_infer_kunlunxin.detector import KunlunxinDetector
from sage_infer_kunlunxin.simulated.cards import p800
from sage_infer_kunlunxin.simulated.machines import NEW, machine


@pytest.fixture(scope="module")
def recording() -> ProbeRecording:
    return machine(p800(4))


@pytest.mark.parametrize("command", NEW)
def test_a_fake_tool_prints_something_else(command: str, recording: ProbeRecording, tmp_path: Path) -> None:
    fake = write_machine(
        tmp_path, recording, {"xpu-smi -L": Damage(drop_lines="XPU 3"), "dmesg": Damage(exit_status=1)}
    )
    environment = fake.applied_to({})
    done = subprocess.run(
        command.split(), env=environment, capture_output=True, text=True, timeout=20, check=False
    )
    expected = recording.commands[command].stdout
    if command == "xpu-smi -L":
        expected = "".join(expected.splitlines(keepends=True)[:3])
    assert (done.returncode, done.stdout) == (0, expected)
    assert (fake.root / "sys/bus/pci/devices/0000:03:00.0/vendor").read_text() == "0x2057\n"
    assert (fake.root / "dev/xpuctrl").exists()


@pytest.mark.parametrize(
    ("damage", "state", "devices"),
    [
        (Damage(), "present", 4),
        (Damage(widen=7), "present", 4),
        (Damage(before=("[INFO] a line", "another: one"), after=("and one more",)), "present", 4),
        (Damage(exit_status=9), "unreadable", 0),
        (Damage(hang=True), "unreadable", 0),
        (Damage(drop_lines=r"(?i)65:00|XPU ?3\b"), "partial", 3),
    ],
)
def test_damage_to_every_output_tells_more_or_raises(
    damage: Damage, state: str, devices: int, recording: ProbeRecording
) -> None:
    report = KunlunxinDetector().detect(damaged(recording, {"xpu-smi": damage}).replay())
    assert (report.state, len(report.accelerators)) == (state, devices), report.reason


@pytest.mark.parametrize("command", ["xpu-smi -q", "xpu-smi", "xpu-smi -m", "xpu-smi -q -x"])
def test_output_cut_at_a_byte_invents_or_raises(command: str) -> None:
    cards = p800(2)
    alone = machine(cards, commands=[command])
    size = len(alone.commands[command].stdout)
    known = {card.bdf for card in cards}
    for at in range(0, size, max(1, size // 150)):
        report = KunlunxinDetector().detect(damaged(alone, {command: Damage(cut_at_byte=at)}).replay())
        assert {one.ids.bdf for one in report.accelerators} <= known
        assert report.state != "absent"
        assert report.state == "present" or report.reason
