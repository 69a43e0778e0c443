"""Published output of Kunlunxin's tools, where it is at hand, against values written by hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sage_infer_contracts.detection import DetectionReport
from sage_infer_contracts.probe import CommandResult, ProbeRecording
from sage_infer_kunlunxin.detector import KunlunxinDetector

SAMPLES = Path(
    os.environ.get(
        "SAGE_INFER_HW_SAMPLES", Path(__file__).parents[3] / ".." / "shared" / "data" / "hw_samples"
    )
)
MIB = 2**20
COMMANDS = {
    "ernie_P800_8card_5.0.21.21": "xpu_smi",
    "P800_8card_L_uuid": "xpu-smi -L",
    "P800_faulty_card_dmesg": "dmesg",
    "paddle_docs_xpu_smi_R300_rt4.31": "xpu_smi",
    "xpu_smi_K200_4dev_rt4.0_2dev_per_card": "xpu_smi",
}
P800_BUSES = ("03", "05", "63", "65", "83", "85", "a3", "a5")
# index, minor, uuid, bdf, name, memory MiB, used MiB, busy %, driver, health
EXPECTED = {
    "ernie_P800_8card_5.0.21.21": [
        (at, None, None, f"0000:{bus}:00.0", "P800 OAM", 98304, 0, 0.0, "5.0.21.21", "ok")
        for at, bus in enumerate(P800_BUSES)
    ],
    "P800_8card_L_uuid": [
        (at, None, uuid, None, "P800 OAM", None, None, None, None, "unknown")
        for at, uuid in enumerate(
            (
                "GPU-ed733bb8-c4a8-5bb5-9431-14512597fc12",
                "GPU-b3509946-0bc6-5744-bd7c-a0b87dadef02",
                "GPU-09d75c76-1b13-5686-a3d2-a9647e48f619",
                "GPU-9429f5bd-7d13-5cc5-b1b4-c05ddc572f57",
                "GPU-b7942319-362e-5a53-a8eb-a2d06fbe84f6",
                "GPU-f396486d-9850-50e4-81c4-50f2e9f6ca87",
                "GPU-9e24d168-db57-5cd9-8cfb-aea4ae898897",
                "GPU-4922595e-feb9-5762-9082-d8fd7f11abf5",
            )
        )
    ],
    "P800_faulty_card_dmesg": [
        (None, None, None, "0000:16:00.0", "unknown", None, None, None, None, "failed"),
    ],
    "paddle_docs_xpu_smi_R300_rt4.31": [
        (0, 0, None, "0000:53:00.0", "R300", 32768, 0, 0.0, "4.0", "unknown"),
        (1, 1, None, "0000:56:00.0", "R300", 32768, 0, 0.0, "4.0", "unknown"),
    ],
    "xpu_smi_K200_4dev_rt4.0_2dev_per_card": [
        (0, 0, None, "0000:06:00.0", "K200", 8064, 504, 0.0, "4.0", "unknown"),
        (1, 1, None, "0000:06:00.0", "K200", 8064, 504, 0.0, "4.0", "unknown"),
        (2, 2, None, "0001:03:00.0", "K200", 8064, 0, 0.0, "4.0", "unknown"),
        (3, 3, None, "0001:03:00.0", "K200", 8064, 0, 0.0, "4.0", "unknown"),
    ],
}
STATES = {name: "partial" if name == "P800_faulty_card_dmesg" else "present" for name in COMMANDS}
CHIPS = {"P800 OAM": "P800", "R300": "R300", "K200": "K200", "unknown": None}


def detect(name: str) -> DetectionReport:
    """A capture is a machine of which nothing else is known, not even how the command ended."""
    file = SAMPLES / "kunlunxin" / f"{name}.txt"
    if not file.exists():
        pytest.skip(f"{file} is not here; SAGE_INFER_HW_SAMPLES says where captures are")
    text = file.read_text(encoding="utf-8")
    recording = ProbeRecording(commands={COMMANDS[name]: CommandResult(stdout=text)})
    return KunlunxinDetector().detect(recording.replay())


def seen(report: DetectionReport) -> list[tuple[object, ...]]:
    return [
        (
            one.ids.index, one.ids.minor, one.ids.uuid, one.ids.bdf, one.name,
            None if one.memory_total_bytes is None else one.memory_total_bytes // MIB,
            None if one.memory_used_bytes is None else one.memory_used_bytes // MIB,
            one.utilisation_percent, one.driver_version, one.health,
        )
        for one in report.accelerators
    ]  # fmt: skip


@pytest.mark.parametrize("name", EXPECTED)
def test_a_capture_is_misread(name: str) -> None:
    report = detect(name)
    for row in seen(report):
        print(name, report.state, *row)
    assert seen(report) == EXPECTED[name]
    assert report.state == STATES[name]
    assert [one.chip for one in report.accelerators] == [CHIPS[str(row[4])] for row in EXPECTED[name]]
    assert {one.ids.logical for one in report.accelerators} == {None}, "nobody knows the process's variables"
    assert not report.links


def test_every_capture_has_its_values() -> None:
    folder = SAMPLES / "kunlunxin"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here; SAGE_INFER_HW_SAMPLES says where captures are")
    assert {file.stem for file in folder.glob("*.txt")} == set(EXPECTED)


def test_l3_is_taken_for_the_memory() -> None:
    report = detect("ernie_P800_8card_5.0.21.21")
    figures = [dict(one.figures)["l3_memory"] for one in report.accelerators]
    assert {(one.value, one.unit, one.source) for one in figures} == {(96, "MiB", "xpu-smi: L3-Usage")}


def test_a_hung_card_is_called_healthy() -> None:
    (card,) = detect("P800_faulty_card_dmesg").accelerators
    assert card.health_reason is not None
    assert "kl3_wait_for_noc_idle() timeout (1)" in card.health_reason
    assert "KL_XID_KERNEL_EXCEPTION (1)" in card.health_reason
    assert "last at Wed Sep 23 10:49:41 2026" in card.health_reason
