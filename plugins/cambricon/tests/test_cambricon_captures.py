"""Published output of cnmon, where it is at hand, against values written by hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sage_infer_cambricon.detector import CambriconDetector
from sage_infer_contracts.detection import DetectionReport
from sage_infer_contracts.probe import CommandResult, ProbeRecording

SAMPLES = Path(
    os.environ.get(
        "SAGE_INFER_HW_SAMPLES", Path(__file__).parents[3] / ".." / "shared" / "data" / "hw_samples"
    )
)
MIB = 2**20
# index, bdf, name, chip, memory MiB, used MiB, busy %, driver, health
EXPECTED = {
    "paddle_docs_cnmon_4.20.11_3xMLU370-X4": [
        (index, None, "MLU370-X4", "MLU370-X4", 23308, 0, 0.0, "v4.20.11", "unknown") for index in range(3)
    ],
    "paddle_docs_cnmon_mlu370x8_v5.10.13": [
        (0, "0000:39:00.0", "MLU370-X8", "MLU370-X8", 23374, 0, 0.0, "v5.10.13", "unknown"),
        (1, "0000:3d:00.0", "MLU370-X8", "MLU370-X8", 23374, 0, 0.0, "v5.10.13", "unknown"),
    ],
}


def text_of(name: str) -> str:
    file = SAMPLES / "cambricon" / f"{name}.txt"
    if not file.exists():
        pytest.skip(f"{file} is not here; SAGE_INFER_HW_SAMPLES says where captures are")
    return file.read_text(encoding="utf-8")


def detect(text: str) -> DetectionReport:
    """A capture is a machine of which nothing else is known, not even how the command ended."""
    return CambriconDetector().detect(ProbeRecording(commands={"cnmon": CommandResult(stdout=text)}).replay())


def seen(report: DetectionReport) -> list[tuple[object, ...]]:
    return [
        (
            one.ids.index, one.ids.bdf, one.name, one.chip,
            None if one.memory_total_bytes is None else one.memory_total_bytes / MIB,
            None if one.memory_used_bytes is None else one.memory_used_bytes / MIB,
            one.utilisation_percent, one.driver_version, one.health,
        )
        for one in report.accelerators
    ]  # fmt: skip


@pytest.mark.parametrize("name", EXPECTED)
def test_a_capture_is_misread(name: str) -> None:
    report = detect(text_of(name))
    for row in seen(report):
        print(name, report.state, *row)
    assert seen(report) == EXPECTED[name]
    assert (report.state, report.reason, report.links) == ("present", None, ())
    assert [one.ids.logical for one in report.accelerators] == list(range(len(EXPECTED[name])))
    assert all(one.ids.uuid is None and one.numa_node is None for one in report.accelerators)


def test_every_capture_has_its_values() -> None:
    folder = SAMPLES / "cambricon"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here; SAGE_INFER_HW_SAMPLES says where captures are")
    assert {file.stem for file in folder.glob("*.txt")} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_capture_that_is_cut_has_another_device(name: str) -> None:
    text, whole = text_of(name), EXPECTED[name]
    known = {row[0]: row[1:4] for row in whole}
    for end in range(0, len(text), 3):
        report = detect(text[:end])
        assert len(report.accelerators) <= len(whole)
        for row in seen(report):
            assert row[1:4] == known[row[0]]
            assert row[4] in (None, whole[0][4])
