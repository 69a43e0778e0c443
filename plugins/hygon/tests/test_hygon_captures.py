"""Published output of Hygon's tools, where it is at hand, against values written by hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sage_infer_contracts.detection import DetectionReport
from sage_infer_contracts.devices import AcceleratorDescriptor
from sage_infer_contracts.probe import CommandResult, ProbeRecording
from sage_infer_hygon.asking import EVERYTHING
from sage_infer_hygon.detector import HygonDetector

SAMPLES = Path(
    os.environ.get(
        "SAGE_INFER_HW_SAMPLES", Path(__file__).parents[3] / ".." / "shared" / "data" / "hw_samples"
    )
)
COMMANDS = {
    "bw1000_2card_dtk26.04_hy-smi": "hy-smi",
    "dcu_8card_800W_vram_full_hy-smi": "hy-smi",
    "gpustack_hygon_dtk24.04.3_rocm-smi_json": " ".join(("rocm-smi", *EVERYTHING)),
    "gpustack_hygon_dtk24.04.3_rocminfo": "rocminfo",
    "k100ai_8card_showid": "rocm-smi --showid",
    "k100ai_8card_showtopo": "rocm-smi --showtopo",
    "z100_4card_rocm-smi_450W": "rocm-smi",
}
UNIQUE = "GPU-7100fa8866904061"
FULL = (98, 99, 98, 100, 0, 0, 0, 0)
WARM = ((43, 131), (42, 134), (37, 131), (37, 133), (43, 133), (42, 135), (38, 133), (36, 135))
# index, uuid, name, chip, memory MiB, used MiB, busy %, temperature, power, power cap, memory used %, CUs, NUMA
EXPECTED = {
    "bw1000_2card_dtk26.04_hy-smi": [
        (0, None, "unknown", None, None, None, 0.0, 50.0, 80.0, 1000.0, 0.0, None, None),
        (1, None, "unknown", None, None, None, 0.0, 52.0, 89.0, 1000.0, 0.0, None, None),
    ],
    "dcu_8card_800W_vram_full_hy-smi": [
        (at, None, "unknown", None, None, None, 0.0, warm, power, 800.0, FULL[at], None, None)
        for at, (warm, power) in enumerate(WARM)
    ],
    "gpustack_hygon_dtk24.04.3_rocm-smi_json": [
        (0, UNIQUE, "DCU xxxx", "K100_AI", 65520, 2, 0.0, 39.0, 80.0, None, None, None, None),
    ],
    "gpustack_hygon_dtk24.04.3_rocminfo": [
        (None, UNIQUE, "K1xx_AI", "K100_AI", 65520, None, None, None, None, None, None, 12, None),
    ],
    "k100ai_8card_showid": [
        (at, None, "K100_AI", "K100_AI", None, None, None, None, None, None, None, None, None)
        for at in range(8)
    ],
    "k100ai_8card_showtopo": [
        (at, None, "unknown", None, None, None, None, None, None, None, None, None, 0) for at in range(8)
    ],
    "z100_4card_rocm-smi_450W": [
        (at, None, "unknown", None, None, None, 0.0, warm, power, 450.0, 0.0, None, None)
        for at, (warm, power) in enumerate(((44, 20), (44, 19), (44, 18), (43, 20)))
    ],
}


def detect(name: str) -> DetectionReport:
    """A capture is a machine of which nothing else is known, not even how the command ended."""
    file = SAMPLES / "hygon" / f"{name}.txt"
    if not file.exists():
        pytest.skip(f"{file} is not here; SAGE_INFER_HW_SAMPLES says where captures are")
    with file.open(encoding="utf-8", newline="") as opened:
        text = opened.read()
    recording = ProbeRecording(commands={COMMANDS[name]: CommandResult(stdout=text)})
    return HygonDetector().detect(recording.replay())


def mib(size: int | None) -> int | None:
    return None if size is None else size // 2**20


def seen(one: AcceleratorDescriptor) -> tuple[object, ...]:
    figures = {name: figure.value for name, figure in one.figures if figure.source == "measured"}
    measured = [figures.get(name) for name in ("temperature", "power", "power_cap", "memory_used_percent")]
    return (
        one.ids.index, one.ids.uuid, one.name, one.chip, mib(one.memory_total_bytes), mib(one.memory_used_bytes),
        one.utilisation_percent, *measured, one.compute_units, one.numa_node,
    )  # fmt: skip


@pytest.mark.parametrize("name", EXPECTED)
def test_a_capture_is_misread(name: str) -> None:
    report = detect(name)
    for one in report.accelerators:
        print(name, report.state, *seen(one))
    assert [seen(one) for one in report.accelerators] == EXPECTED[name]
    assert (report.state, report.reason) == ("present", None)
    assert {one.health for one in report.accelerators} == {"unknown"}
    assert {one.ids.logical for one in report.accelerators} == {None}, "nobody knows the process's variables"


def test_every_capture_has_its_values() -> None:
    folder = SAMPLES / "hygon"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here; SAGE_INFER_HW_SAMPLES says where captures are")
    assert {file.stem for file in folder.glob("*.txt")} == set(EXPECTED)


def test_links_are_lost_doubled_or_misnamed() -> None:
    links = detect("k100ai_8card_showtopo").links
    assert len(links) == 28
    assert {link.kind for link in links} == {"PCIE"}
    assert {frozenset((link.source, link.destination)) for link in links} == {
        frozenset((f"HCU[{one}]", f"HCU[{other}]")) for one in range(8) for other in range(one)
    }


def test_the_runtimes_architecture_and_address_are_lost() -> None:
    (card,) = detect("gpustack_hygon_dtk24.04.3_rocminfo").accelerators
    assert card.features == ("gfx928",)
    assert card.ids.bdf == "0000:00:01.7", "BDFID 15, which its publisher masked"
    assert dict(card.figures)["spec_compute_units"].value == 120


@pytest.mark.parametrize("vendor", ["ascend", "cambricon", "cuda", "kunlunxin"])
def test_anothers_capture_is_called_hygon(vendor: str) -> None:
    for file in sorted((SAMPLES / vendor).glob("*.txt")):
        text = file.read_text(encoding="utf-8", errors="replace")
        for command in COMMANDS.values():
            recording = ProbeRecording(commands={command: CommandResult(stdout=text)})
            assert not HygonDetector().detect(recording.replay()).accelerators, (file.name, command)
