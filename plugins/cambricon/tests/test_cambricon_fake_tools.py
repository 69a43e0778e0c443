"""A machine of files and programs in place of the vendor's: the same report as from its recording, whole or damaged."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from sage_infer_cambricon.detector import CambriconDetector
from sage_infer_cambricon.simulated.cards import m9_cards, x8_boards
from sage_infer_cambricon.simulated.machines import machine
from sage_infer_contracts.detection import DetectionReport
from sage_infer_contracts.probe import ProbeRecording
from sage_infer_contracts.testing import Damage, write_machine

hal = pytest.importorskip("sage_infer.hal", reason="the live probe is the host's")


def look(
    folder: Path, monkeypatch: pytest.MonkeyPatch, recording: ProbeRecording, damages: dict[str, Damage]
) -> DetectionReport:
    made = write_machine(folder, recording, damages)
    for name, value in made.environment.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    return CambriconDetector().detect(hal.LiveProbe(made.root))


def test_a_real_run_gives_another_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = machine(x8_boards(1), "5.10")
    live = look(tmp_path, monkeypatch, recording, {})
    replayed = CambriconDetector().detect(recording.replay())
    assert live.accelerators == replayed.accelerators
    assert (live.state, live.links) == (replayed.state, replayed.links)


@pytest.mark.parametrize(
    ("damage", "state", "devices"),
    [
        (Damage(widen=7), "present", 3),
        (
            Damage(before=("Thu Dec 19 22:05:42 2024", "[HAMI-core Msg]: initialised"), after=("bye",)),
            "present",
            3,
        ),
        (Damage(drop_lines=r"71(:00\.0)?\b|^Card 2"), "partial", 2),
        (Damage(cut_at_byte=1000), "partial", 2),
        (Damage(exit_status=1, stderr="cndev: unknown error"), "partial", 3),
        (Damage(cut_at_byte=0, exit_status=1, stderr="No Driver"), "unreadable", 0),
        (Damage(delay_s=0.05), "present", 3),
    ],
)
def test_a_damaged_tool_invents_or_hides(
    damage: Damage, state: str, devices: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = machine(m9_cards(3), "6.x", without=("driver",))
    report = look(tmp_path, monkeypatch, recording, {"cnmon": damage})
    print(damage, report.state, report.reason)
    assert (report.state, len(report.accelerators)) == (state, devices)


def test_a_hung_tool_costs_more_than_its_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sage_infer_cambricon.asking.TABLE_TIMEOUT_S", 0.3)
    recording = machine(m9_cards(2), "6.x")
    began = time.monotonic()
    report = look(tmp_path, monkeypatch, recording, {"cnmon": Damage(hang=True)})
    assert time.monotonic() - began < 5
    assert report.state == "partial"
    assert report.reason == "cnmon: did not answer in time"
