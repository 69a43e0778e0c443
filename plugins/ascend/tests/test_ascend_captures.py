"""Published output of npu-smi, where it is at hand, against values written by hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sage_infer_ascend.detector import AscendDetector
from sage_infer_contracts.detection import DetectionReport
from sage_infer_contracts.probe import CommandResult, ProbeRecording

SAMPLES = Path(
    os.environ.get(
        "SAGE_INFER_HW_SAMPLES", Path(__file__).parents[3] / ".." / "shared" / "data" / "hw_samples"
    )
)
MIB = 2**20
INFO, MAP, TOPO = "npu-smi info", "npu-smi info -m", "npu-smi info -t topo"
COMMANDS = {
    "910B_8card_topo_hccs": TOPO,
    "arthurchiao_910B1_usages": "npu-smi info -t usages -i 0",
    "busy_910B3_25.3.rc1_2card": INFO,
    "error_dcmi_8005_normal_user": INFO,
    "error_no_card": MAP,
    "gpustack_atlas800inf3000_v1.0.0__m": MAP,
    "gpustack_atlas800inf3000_v1.0.11": INFO,
    "gpustack_atlas800inf3000_v1.0.11__m": MAP,
    "gpustack_atlas800train9010_24.1.RC2": INFO,
    "gpustack_docstring_910B3_mapping_with_Mcu__m": MAP,
    "hami_310P3_2card_25.5.1_host": INFO,
    "hami_310P3_vnpu_container_25.5.1_noise_prefix": INFO,
    "ms_swift_910B3_8card_topo": TOPO,
    "node0_910B1_25.5.1_8card_idle": INFO,
    "vllm_ascend_A3_910C_24.1.rc3.7_16die": INFO,
}
TRAINING = ("c1", "81", "41", "01", "c2", "82", "42", "02")
NODE0 = ("c1", "01", "c2", "02", "81", "41", "82", "42")
NODE0_USED = (3425, 3416, 3415, 3414, 3416, 3417, 3416, 3416)
A3_BUSES = ("9d", "9f", "99", "9b", "95", "97", "91", "93", "8d", "8f", "89", "8b", "85", "87", "81", "83")
A3_USED = (
    *(3412, 3189, 3413, 3185, 3412, 3186, 3412, 3185),
    *(3402, 3198, 3398, 3201, 3400, 3200, 3413, 3188),
)
BY_MATRIX = [(at, None, None, None, "unknown", None, None, "unknown") for at in range(8)]
# NPU id, logic id, physical id, bus, name, used MiB, total MiB, health
EXPECTED = {
    "910B_8card_topo_hccs": BY_MATRIX,
    "ms_swift_910B3_8card_topo": BY_MATRIX,
    "arthurchiao_910B1_usages": [(0, None, None, None, "unknown", None, 65536, "unknown")],
    "busy_910B3_25.3.rc1_2card": [
        (0, None, None, "c1", "910B3", 41697, 65536, "ok"),
        (1, None, None, "c2", "910B3", 40844, 65536, "ok"),
    ],
    "error_dcmi_8005_normal_user": [],
    "error_no_card": [],
    "gpustack_atlas800inf3000_v1.0.0__m": [
        (215, at, None, None, "MiniD", None, None, "unknown") for at in range(4)
    ],
    "gpustack_atlas800inf3000_v1.0.11": [
        (6, 3, None, "89", "310", 2703, 8192, "ok"),
        (6, 4, None, "8a", "310", 2867, 8192, "ok"),
        (6, 5, None, "8b", "310", 2867, 8192, "ok"),
        (6, 6, None, "8c", "310", 2867, 8192, "ok"),
    ],
    "gpustack_atlas800inf3000_v1.0.11__m": [
        (6, at, None, None, "MiniD", None, None, "unknown") for at in range(4)
    ],
    "gpustack_atlas800train9010_24.1.RC2": [
        (at, None, None, bus, "xxx", 0, 32768, "degraded" if at in (3, 7) else "ok")
        for at, bus in enumerate(TRAINING)
    ],
    "gpustack_docstring_910B3_mapping_with_Mcu__m": [
        (3, 0, None, None, "910B3", None, None, "unknown"),
        (4, 1, None, None, "910B3", None, None, "unknown"),
    ],
    "hami_310P3_2card_25.5.1_host": [
        (4, 0, None, "81", "310P3", 1848, 21525, "ok"),
        (5, 1, None, "85", "310P3", 1849, 21525, "ok"),
    ],
    "hami_310P3_vnpu_container_25.5.1_noise_prefix": [(32768, 0, None, "81", "310P3", 0, 8192, "ok")],
    "node0_910B1_25.5.1_8card_idle": [
        (at, None, None, bus, "910B1", used, 65536, "ok")
        for at, (bus, used) in enumerate(zip(NODE0, NODE0_USED, strict=True))
    ],
    "vllm_ascend_A3_910C_24.1.rc3.7_16die": [
        (at // 2, None, at, bus, "Ascend910", used, 65536, "ok")
        for at, (bus, used) in enumerate(zip(A3_BUSES, A3_USED, strict=True))
    ],
}
DRIVERS = {
    "busy_910B3_25.3.rc1_2card": "25.3.rc1",
    "gpustack_atlas800inf3000_v1.0.11": "21.0.4.B030",
    "gpustack_atlas800train9010_24.1.RC2": "24.1.RC2",
    "hami_310P3_2card_25.5.1_host": "25.5.1",
    "hami_310P3_vnpu_container_25.5.1_noise_prefix": "25.5.1",
    "node0_910B1_25.5.1_8card_idle": "25.5.1",
    "vllm_ascend_A3_910C_24.1.rc3.7_16die": "24.1.rc3.7",
}
CHIPS = {
    "310": "310",
    "MiniD": "310",
    "310P3": "310P3",
    "910B1": "910B1",
    "910B3": "910B3",
    "Ascend910": "910C",
}
STATES = {"error_dcmi_8005_normal_user": "unreadable", "error_no_card": "absent"}


def detect(name: str) -> DetectionReport:
    """A capture is a machine of which nothing else is known, not even how the command ended."""
    file = SAMPLES / "ascend" / f"{name}.txt"
    if not file.exists():
        pytest.skip(f"no captures at {SAMPLES}; SAGE_INFER_HW_SAMPLES names another place")
    said = CommandResult(stdout=file.read_text(encoding="utf-8"))
    return AscendDetector().detect(ProbeRecording(commands={COMMANDS[name]: said}).replay())


def mib(size: int | None) -> float | None:
    return None if size is None else size / MIB


@pytest.mark.parametrize("name", COMMANDS)
def test_a_capture_is_misread(name: str) -> None:
    report = detect(name)
    rows = [
        (
            one.ids.index,
            one.ids.logical,
            one.ids.physical,
            one.ids.bdf.split(":")[1] if one.ids.bdf else None,
            one.name,
            mib(one.memory_used_bytes),
            mib(one.memory_total_bytes),
            one.health,
        )
        for one in report.accelerators
    ]
    print(f"\n{name} ({COMMANDS[name]}): {report.state} {report.reason or ''}")
    for row in rows:
        print("  ", *row)
    assert rows == EXPECTED[name]
    assert report.state == STATES.get(name, "present")
    assert {one.driver_version for one in report.accelerators} <= {DRIVERS.get(name)}
    assert [one.chip for one in report.accelerators] == [CHIPS.get(row[4]) for row in EXPECTED[name]]


@pytest.mark.parametrize("name", ["910B_8card_topo_hccs", "ms_swift_910B3_8card_topo"])
def test_links_of_a_matrix_are_lost(name: str) -> None:
    links = detect(name).links
    assert len(links) == 28
    assert {link.kind for link in links} == {"HCCS"}
    assert ("NPU0", "NPU7") in {(link.source, link.destination) for link in links}


def test_a_refusing_driver_is_no_absence_and_says_what_to_do() -> None:
    reason = detect("error_dcmi_8005_normal_user").reason or ""
    assert "-8005" in reason
    assert "HwHiAiUser" in reason
    assert "restart" in reason


def test_a_virtual_npu_is_no_slice() -> None:
    (device,) = detect("hami_310P3_vnpu_container_25.5.1_noise_prefix").accelerators
    assert device.slice_of == "0000:81:00.0"
    assert not [name for name, _ in device.figures if name.startswith("spec_")]


def test_a_capture_is_without_expectation() -> None:
    found = {file.stem for file in (SAMPLES / "ascend").glob("*.txt")}
    assert found <= set(COMMANDS)
