"""The detector ``cuda`` on generated machines: what it asks, whom it believes, and whose devices it leaves alone."""

from __future__ import annotations

import time
from collections.abc import Sequence

import attrs
import pytest

from sage_infer_contracts.detection import DetectionReport, HardwareDetector
from sage_infer_contracts.membership import missing_members
from sage_infer_contracts.probe import CommandResult, PciDevice, ProbeRecording, RecordingProbe
from sage_infer_contracts.testing import Damage, damaged
from sage_infer_cuda.asking import CSV, LIST, TABLE, TOOL, XML
from sage_infer_cuda.conformance import DETECTOR
from sage_infer_cuda.detector import CudaDetector
from sage_infer_cuda.parsing.nvml import CALL, MODULE
from sage_infer_cuda.simulated.formats import csv_text, table_text
from sage_infer_cuda.simulated.formats_query import library_reply
from sage_infer_cuda.simulated.gpus import divided, gpus
from sage_infer_cuda.simulated.machines import machine, recorded_machines


def detect(recording: ProbeRecording) -> DetectionReport:
    return CudaDetector().detect(recording.replay())


def asked(recording: ProbeRecording) -> list[str]:
    probe = RecordingProbe(recording.replay())
    CudaDetector().detect(probe)
    return list(probe.recording().commands)


def test_the_detector_lacks_a_member_of_the_protocol() -> None:
    assert missing_members(CudaDetector(), HardwareDetector) == []


@pytest.mark.parametrize("name", recorded_machines())
def test_a_machine_of_the_catalogue_is_misread(name: str) -> None:
    one = recorded_machines()[name]
    report = detect(one.recording)
    assert (report.state, len(report.accelerators)) == (one.state, one.devices)
    assert DetectionReport.model_validate_json(report.model_dump_json()) == report
    for ids in one.ids:
        wanted = ids.model_dump(exclude_none=True).items()
        assert any(wanted <= found.ids.model_dump().items() for found in report.accelerators)


def test_links_differ_by_source() -> None:
    by_library = detect(machine(gpus(8), "library"))
    by_tool = detect(machine(gpus(8), "csv", "topology", "nvlink"))
    assert len(by_library.links) == len(by_tool.links) == 28
    pairs = [(link.source, link.destination, link.kind) for link in by_tool.links]
    assert [(link.source, link.destination, link.kind) for link in by_library.links] == pairs
    for link in (*by_library.links, *by_tool.links):
        assert link.kind == "NV18"
        assert link.bandwidth is not None
        assert link.bandwidth.value == pytest.approx(18 * 26.562)
    assert [one.numa_node for one in by_tool.accelerators] == [0, 0, 0, 0, 1, 1, 1, 1]


def test_commands_are_run_that_are_not_needed() -> None:
    assert asked(machine(gpus(8), "all")) == []
    assert asked(machine([], "all")) == []
    alone = machine(gpus(1), "csv", "topology", "nvlink", "xml", "list")
    assert asked(alone) == [" ".join((TOOL, *CSV))]
    everything = asked(machine(gpus(2)))
    assert len(everything) == len(set(everything)) == 7


def test_a_tool_that_hangs_is_asked_again() -> None:
    recording = damaged(machine(gpus(2), "csv", "table", "proc"), {TOOL: Damage(hang=True, cut_at_byte=0)})
    assert asked(recording) == [" ".join((TOOL, *CSV))]
    report = detect(recording)
    assert (report.state, len(report.accelerators)) == ("partial", 2)
    assert "did not answer in time" in (report.reason or "")


def test_a_driver_that_is_not_there_is_asked_in_every_form() -> None:
    recording = recorded_machines()["no driver"].recording
    assert asked(recording) == [" ".join((TOOL, *CSV))]


def test_an_old_driver_without_a_field_is_not_asked_otherwise() -> None:
    refused = CommandResult(stdout='Field "compute_cap" is not a valid field to query.\n', exit_status=2)
    recording = machine(gpus(2), "csv", "xml")
    recording = recording.model_copy(
        update={"commands": {**recording.commands, " ".join((TOOL, *CSV)): refused}}
    )
    report = detect(recording)
    assert (report.state, report.reason, len(report.accelerators)) == ("present", None, 2)
    assert report.accelerators[0].memory_total_bytes == 143771 * 2**20
    commands = {**machine(gpus(2)).commands, " ".join((TOOL, *CSV)): refused}
    assert detect(recording.model_copy(update={"commands": commands})).state == "unreadable"


def test_a_mig_device_lacks_its_memory_its_uuid_or_its_parent() -> None:
    gpu = divided()
    for shown in (
        ("library",),
        ("csv", "xml", "list"),
        ("csv", "text", "list"),
        ("xml", "list"),
        ("table", "list", "xml"),
    ):
        report = detect(machine([gpu], *shown))
        whole, *slices = report.accelerators
        assert len(slices) == 3, shown
        assert [one.ids.uuid for one in slices] == [one.uuid(gpu) for one in gpu.migs]
        assert [one.name for one in slices] == [f"NVIDIA H200 MIG {one.profile}" for one in gpu.migs]
        assert [one.memory_total_bytes for one in slices] == [one.memory_mib * 2**20 for one in gpu.migs]
        assert {one.slice_of for one in slices} == {whole.ids.uuid}
        assert [one.compute_units for one in slices] == [60, 32, 16]
        assert [one.ids.logical for one in slices] == [0, None, None]
        assert whole.ids.logical is None
        assert not any(name.startswith("spec_") for one in slices for name, _ in one.figures)


def test_a_lost_gpu_hides_the_others() -> None:
    for name in ("one GPU lost, NVML", "one GPU lost, CSV"):
        report = detect(recorded_machines()[name].recording)
        assert report.state == "partial"
        assert [one.ids.bdf for one in report.accelerators] == [gpus(2)[0].bdf]
        assert gpus(2)[1].bdf in (report.reason or "")


@pytest.mark.parametrize("text", [
    "Unable to determine the device handle for GPU 0000:28:00.0: GPU is lost.  Reboot the system to recover this GPU\n",
    "Unable to determine the device handle for\nGPU0000:28:00.0: GPU is lost.\nReboot the system to recover this GPU\n",
    "Unable to determine the device handle for GPU 0000:28:00.0: GPU is\nlost. Reboot the system to recover this GPU\n",
])  # fmt: skip
def test_a_lost_gpu_is_no_reason(text: str) -> None:
    report = detect(ProbeRecording(commands={TOOL: CommandResult(stdout=text)}))
    assert report.state == "unreadable"
    assert report.reason == "nvidia-smi: GPU 0000:28:00.0: GPU is lost"


OTHERS = [
    ("1d94", "6210", "Hygon"), ("2057", "3686", "Kunlunxin"), ("9999", "4000", "MetaX"), ("1e3e", "0001", "Iluvatar"),
    ("1ed5", "0300", "Moore Threads"), ("1002", "74a1", "AMD"), ("8086", "0bd5", "Intel"),
]  # fmt: skip


@pytest.mark.parametrize(("vendor", "device", "maker"), OTHERS)
def test_anothers_device_is_called_nvidia(vendor: str, device: str, maker: str) -> None:
    """Their tools, UUIDs and runtimes may look like NVIDIA's: the machine even has an nvidia-smi that answers."""
    recording = machine(gpus(2), "all")
    theirs = tuple(
        one.model_copy(update={"vendor": vendor, "device": device}) if one.device_class == "030200" else one
        for one in recording.pci or ()
        if one.vendor != "10de" or one.device_class == "030200"
    )
    alone = recording.model_copy(update={"pci": theirs, "directories": {}})
    report = detect(alone)
    assert (report.state, report.accelerators) == ("absent", ())
    assert asked(alone) == []


@pytest.mark.parametrize("name", ["P800 OAM", "Iluvatar BI-V150", "MXC500", "HCU BW1000"])
def test_a_lookalike_is_nvidia_where_pci_is_not_known(name: str) -> None:
    text = table_text([attrs.evolve(gpus(1)[0], name=name)])
    report = detect(ProbeRecording(commands={TOOL: CommandResult(stdout=text)}))
    assert report.accelerators == ()
    without_banner = text.replace("NVIDIA-SMI", "IX-ML")
    assert detect(ProbeRecording(commands={TOOL: CommandResult(stdout=without_banner)})).accelerators == ()


def test_two_vendors_in_one_host_hide_each_other() -> None:
    recording = machine(gpus(1), "csv")
    other = PciDevice(bdf="0000:c1:00.0", vendor="19e5", device="d802", device_class="120000")
    report = detect(recording.model_copy(update={"pci": (*(recording.pci or ()), other)}))
    assert [one.ids.bdf for one in report.accelerators] == [gpus(1)[0].bdf]
    assert report.state == "present"


def test_a_driver_that_lists_gpus_which_pci_does_not_is_absence() -> None:
    recording = machine(gpus(1), "proc")
    report = detect(recording.model_copy(update={"pci": ()}))
    assert (report.state, report.accelerators) == ("unreadable", ())


def test_cards_that_a_container_was_not_given_are_lost() -> None:
    recording = machine(gpus(2), "csv", "xml")
    for key in (" ".join((TOOL, *CSV)), " ".join((TOOL, *XML))):
        recording = recording.model_copy(
            update={
                "commands": {
                    **recording.commands,
                    key: CommandResult(stdout=csv_text(gpus(2)[:1]), exit_status=0),
                }
            }
        )
    assert detect(recording).state == "partial"
    given = recording.model_copy(
        update={"environment": {**recording.environment, "NVIDIA_VISIBLE_DEVICES": "0"}}
    )
    assert (detect(given).state, len(detect(given).accelerators)) == ("present", 1)


def test_a_part_of_a_gpus_memory_is_the_whole() -> None:
    recording = machine(gpus(1), "table")
    shared = damaged(
        recording, {TOOL: Damage(before=("[HAMI-core Msg(1:2:libvgpu.c:836)]: Initializing.....",))}
    )
    one = detect(shared).accelerators[0]
    assert one.slice_of == one.ids.bdf
    assert not any(name.startswith("spec_") for name, _ in one.figures)


def test_two_cards_with_the_same_uuid_are_one() -> None:
    found = gpus(2)
    text = csv_text(found).replace(found[1].uuid, found[0].uuid)
    recording = machine(found, "csv", "topology")
    recording = recording.model_copy(
        update={
            "commands": {
                **recording.commands,
                " ".join((TOOL, *CSV)): CommandResult(stdout=text, exit_status=0),
            }
        }
    )
    report = detect(recording)
    assert [one.ids.bdf for one in report.accelerators] == [one.bdf for one in found]
    assert [(link.source, link.destination) for link in report.links] == [(found[0].bdf, found[1].bdf)]


def test_specifications_are_taken_for_measurements() -> None:
    one = detect(machine(gpus(1), "library")).accelerators[0]
    figures = dict(one.figures)
    assert one.chip == "H200-SXM"
    assert figures["spec_memory_bandwidth"].value == 4800
    assert "aiconfigurator" in figures["spec_memory_bandwidth"].source
    assert all(figure.source != "measured" for figure in figures.values())


@pytest.mark.parametrize(
    "shown",
    [("library",), ("csv", "topology", "nvlink", "proc"), ("xml", "topology"), ("text",), ("table", "list")],
)
def test_eight_gpus_take_longer_than_50_ms(shown: Sequence[str]) -> None:
    recording = machine(gpus(8), *shown)
    detect(recording)
    fastest = min(_seconds(recording) for _ in range(3))
    assert fastest < 0.05


def _seconds(recording: ProbeRecording) -> float:
    start = time.perf_counter()
    detect(recording)
    return time.perf_counter() - start


def test_the_subject_is_not_this_detector() -> None:
    assert isinstance(DETECTOR.create(), CudaDetector)
    assert DETECTOR.facts["pci_vendors"] == "10de"


def test_a_library_that_fails_hides_the_tool() -> None:
    recording = machine(gpus(2), "csv").model_copy(
        update={
            "libraries": {f"{MODULE}:{CALL}": '{"error": "Failed to initialize NVML: Driver Not Loaded"}'}
        }
    )
    report = detect(recording)
    assert (report.state, len(report.accelerators)) == ("partial", 2)
    assert "Driver Not Loaded" in (report.reason or "")


@pytest.mark.parametrize(
    "reply",
    [
        "[]",
        "{}",
        '{"devices": 3}',
        '{"devices": [null, {"uuid": 5}]}',
        '{"devices": [{"index": -1, "slices": {}}]}',
    ],
)
def test_a_reply_of_another_shape_raises(reply: str) -> None:
    recording = machine(gpus(1), "list").model_copy(update={"libraries": {f"{MODULE}:{CALL}": reply}})
    assert len(detect(recording).accelerators) == 1


def test_a_mig_reply_invents_a_device() -> None:
    gpu = divided()
    reply = library_reply([gpu]).replace('"number"', '"nummer"')
    recording = machine([gpu]).model_copy(update={"libraries": {f"{MODULE}:{CALL}": reply}})
    assert len(detect(recording).accelerators) == 1


def test_fake_forms_are_those_that_are_asked() -> None:
    keys = machine(gpus(1), "all").commands
    assert {" ".join((TOOL, *one)) for one in (CSV, XML, TABLE, LIST)} <= set(keys)


def test_a_card_that_another_driver_has_is_missing_without_a_reason() -> None:
    recording = machine(gpus(2), "csv")
    theirs = tuple(
        one.model_copy(update={"driver": "vfio-pci"}) if one.bdf == gpus(2)[1].bdf else one
        for one in recording.pci or ()
    )
    answer = {" ".join((TOOL, *CSV)): CommandResult(stdout=csv_text(gpus(2)[:1]), exit_status=0)}
    update = {"pci": theirs, "commands": {**recording.commands, **answer}}
    report = detect(recording.model_copy(update=update))
    assert report.state == "partial"
    assert f"{gpus(2)[1].bdf} is bound to vfio-pci" in (report.reason or "")
