"""The detector ``kunlunxin`` on simulated machines: all of them, and what looking costs."""

from __future__ import annotations

import time

import pytest
from kunlunxin_detection import detect, with_command

from sage_infer_contracts.detection import DetectionReport, HardwareDetector
from sage_infer_contracts.membership import missing_members
from sage_infer_contracts.probe import PciDevice, ProbeRecording
from sage_infer_kunlunxin.detector import KunlunxinDetector
from sage_infer_kunlunxin.simulated import formats
from sage_infer_kunlunxin.simulated.cards import Card, k200, p800
from sage_infer_kunlunxin.simulated.machines import (
    functions,
    machine,
    recorded_machines,
)

MIB = 2**20


def test_the_detector_lacks_a_member_of_the_protocol() -> None:
    assert missing_members(KunlunxinDetector(), HardwareDetector) == []


@pytest.mark.parametrize("name", recorded_machines())
def test_a_simulated_machine_is_misread(name: str) -> None:
    known = recorded_machines()[name]
    report = detect(known.recording)
    assert (report.state, len(report.accelerators)) == (known.state, known.devices), report.reason
    for ids in known.ids:
        wanted = ids.model_dump(exclude_none=True).items()
        assert any(wanted <= one.ids.model_dump().items() for one in report.accelerators), ids
    assert DetectionReport.model_validate_json(report.model_dump_json()) == report


def test_eight_cards_have_two_groups_and_their_nodes() -> None:
    report = detect(machine(p800(8)))
    uuids = [one.ids.uuid for one in report.accelerators]
    assert [one.ids.minor for one in report.accelerators] == [0, 2, 1, 3, 4, 7, 5, 6], "nodes are not rows"
    assert [one.numa_node for one in report.accelerators] == [0, 0, 0, 0, 1, 1, 1, 1]
    assert len(report.links) == 28
    kinds = {(link.source, link.destination): link.kind for link in report.links}
    assert kinds[uuids[0] or "", uuids[3] or ""] == "XL"
    assert kinds[uuids[3] or "", uuids[4] or ""] == "SYS"
    assert all(link.bandwidth is None for link in report.links), "nobody publishes it"


def test_figures_of_the_chip_are_not_taken_for_measured() -> None:
    (card,) = detect(machine(p800(1))).accelerators
    figures = dict(card.figures)
    assert set(figures) == {"l3_memory", "spec_memory", "spec_compute_units"}
    assert figures["spec_memory"].value == 98304
    assert "ERNIE" in figures["spec_memory"].source
    assert (card.chip, card.dtypes) == ("P800", ("fp16", "bf16", "fp32", "int8"))
    assert card.memory_used_bytes == 3425 * MIB


def eight_with_long_logs() -> ProbeRecording:
    noise = "".join(
        f"[{at:5d}.000000] usb 1-1: new high-speed USB device number {at}\n" for at in range(20_000)
    )
    recording = machine(p800(8))
    return with_command(recording, "dmesg", stdout=noise + formats.kernel_log(p800(8)[2]), exit_status=0)


@pytest.mark.parametrize("recording", [machine(p800(8)), eight_with_long_logs()], ids=["plain", "long log"])
def test_detection_costs_more_than_50_ms(recording: ProbeRecording) -> None:
    detect(recording)
    times = []
    for _ in range(5):
        start = time.process_time()
        detect(recording)
        times.append(time.process_time() - start)
    print(f"{min(times) * 1e3:.1f} ms")
    assert min(times) < 0.05


def test_functions_of_cards_with_two_devices_are_one() -> None:
    assert len(functions(k200())) == 2
    assert isinstance(functions(k200())[0], PciDevice)
    assert isinstance(k200()[0], Card)
