"""Fake tools and a fake sysfs: what a probe of a live machine would see, whole and damaged."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sage_infer_contracts.probe import ProbeRecording
from sage_infer_contracts.testing.damage import Damage, damaged
from sage_infer_contracts.testing.fake_machine import write_machine
from sage_infer_hygon.asking import EVERYTHING
from sage_infer_hygon.detector import HygonDetector
from sage_infer_hygon.simulated.cards import bw_cards
from sage_infer_hygon.simulated.machines import machine

QUERY = " ".join(("hy-smi", *EVERYTHING))


@pytest.fixture(scope="module")
def recording() -> ProbeRecording:
    return machine(bw_cards(4))


@pytest.mark.parametrize("command", [QUERY, "hy-smi", "hy-smi --showtopo", "rocminfo"])
def test_a_fake_tool_prints_something_else(command: str, recording: ProbeRecording, tmp_path: Path) -> None:
    fake = write_machine(tmp_path, recording, {"hy-smi": Damage(before=("[INFO] noise",))})
    done = subprocess.run(
        command.split(), env=fake.applied_to({}), capture_output=True, text=True, timeout=20, check=False
    )
    noise = "" if command == "rocminfo" else "[INFO] noise\n"
    assert (done.returncode, done.stdout) == (0, noise + recording.commands[command].stdout)
    assert (fake.root / "sys/bus/pci/devices/0000:05:00.0/class").read_text() == "0x0b4000\n"
    assert (fake.root / "sys/module/hycu/version").read_text() == "6.3.31-V1.5.0a\n"
    assert (fake.root / "sys/bus/pci/devices/0000:05:00.0/drm/renderD128").exists()


@pytest.mark.parametrize(
    ("damage", "state", "devices"),
    [
        (Damage(), "present", 4),
        (Damage(widen=7), "present", 4),
        (Damage(before=("[INFO] a line", "HCU: x"), after=("and one more",)), "present", 4),
        (Damage(exit_status=9), "unreadable", 0),
        (Damage(hang=True), "unreadable", 0),
        (Damage(cut_at_byte=0), "unreadable", 0),
    ],
)
def test_damage_to_every_output_tells_more_or_raises(
    damage: Damage, state: str, devices: int, recording: ProbeRecording
) -> None:
    report = HygonDetector().detect(damaged(recording, {"*": damage}).replay())
    assert (report.state, len(report.accelerators)) == (state, devices), report.reason


@pytest.mark.parametrize("without", [("table", "lines"), ("json", "lines"), ("json", "table")], ids=str)
def test_output_cut_at_a_byte_invents_or_raises(without: tuple[str, ...]) -> None:
    cards = bw_cards(2)
    alone = machine(cards, without=(*without, "topology", "rocminfo"))
    known = {card.bdf for card in cards} | {None}
    size = max(len(one.stdout) for one in alone.commands.values())
    for at in range(0, size, max(1, size // 120)):
        report = HygonDetector().detect(damaged(alone, {"*": Damage(cut_at_byte=at)}).replay())
        assert {one.ids.bdf for one in report.accelerators} <= known
        assert len(report.accelerators) <= 2
        assert report.state in ("present", "partial", "unreadable")
        assert report.state == "present" or report.reason
