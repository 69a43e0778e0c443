"""The detector ``ascend`` on generated machines: whose devices they are, their states, ids, links and numbers."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sage_infer_ascend.asking import PROGRAMS
from sage_infer_ascend.chips import CHIPS
from sage_infer_ascend.conformance import recorded_machines
from sage_infer_ascend.detector import AscendDetector
from sage_infer_ascend.gate import DRIVER_FILE
from sage_infer_ascend.simulated.machines import COMPRESSION_ENGINE, Host, a1, a2, a3, a5, kunpeng, p310
from sage_infer_ascend.visible import VARIABLE
from sage_infer_contracts.detection import DetectionReport, HardwareDetector
from sage_infer_contracts.membership import missing_members
from sage_infer_contracts.probe import CommandResult, PciDevice, ProbeRecording, RecordingProbe
from sage_infer_contracts.testing import Damage, damaged, write_machine

GPU = PciDevice(bdf="0000:3b:00.0", vendor="10de", device="2330", device_class="030200")
INFO = "npu-smi info"


def detect(recording: ProbeRecording) -> DetectionReport:
    return AscendDetector().detect(recording.replay())


def changed(recording: ProbeRecording, **update: object) -> ProbeRecording:
    return recording.model_copy(update=update)


def with_variable(host: Host, value: str | None) -> ProbeRecording:
    return changed(host.recording(), environment={VARIABLE: value})


def logical(report: DetectionReport) -> list[int | None]:
    return [one.ids.logical for one in report.accelerators]


def test_the_detector_lacks_a_member_of_the_protocol() -> None:
    assert missing_members(AscendDetector(), HardwareDetector) == []


@pytest.mark.parametrize("name", sorted(recorded_machines()))
def test_a_machine_is_not_what_its_author_says(name: str) -> None:
    machine = recorded_machines()[name]
    report = detect(machine.recording)
    assert (report.state, len(report.accelerators)) == (machine.state, machine.devices)
    assert DetectionReport.model_validate_json(report.model_dump_json()) == report
    for wanted in machine.ids:
        given = wanted.model_dump(exclude_none=True).items()
        assert [one for one in report.accelerators if given <= one.ids.model_dump(exclude_none=True).items()]


def test_a_server_of_a2_is_misread() -> None:
    report = detect(a2().recording())
    first = report.accelerators[0]
    assert (first.name, first.chip, first.driver_version, first.numa_node) == ("910B3", "910B3", "25.5.1", 1)
    assert (first.memory_used_bytes, first.memory_total_bytes) == (3410 * 2**20, 65536 * 2**20)
    assert first.dtypes == ("bf16", "fp16", "int8")
    figures = dict(first.figures)
    assert (figures["power"].value, figures["temperature"].value) == (90.4, 37)
    assert figures["spec_bf16"].value == 294.9
    assert "msmodeling" in figures["spec_bf16"].source
    assert {link.kind for link in report.links} == {"HCCS"}
    assert (report.links[0].source, report.links[0].destination) == ("0000:c1:00.0", "0000:01:00.0")


def test_dies_of_a_package_are_one_or_their_link_is_another() -> None:
    report = detect(a3().recording())
    assert [(one.ids.index, one.ids.physical) for one in report.accelerators] == [
        (at // 2, at) for at in range(16)
    ]
    assert {one.chip for one in report.accelerators} == {"910C"}
    assert report.accelerators[3].features == ("chip_id=1", "soc=ascend910_9392")
    siblings = [link for link in report.links if link.kind == "SIO"]
    assert len(siblings) == 8
    assert all(link.bandwidth is not None and link.bandwidth.value == 224 for link in siblings)
    assert len(report.links) == 120


def test_chips_at_one_address_are_mixed_up() -> None:
    report = detect(p310(4, per_card=2).recording())
    assert len({one.ids.uuid for one in report.accelerators} - {None}) == 4
    assert len({one.ids.bdf for one in report.accelerators}) == 2


@pytest.mark.parametrize(
    ("health", "state"),
    [
        ("OK", "ok"),
        ("Warning", "degraded"),
        ("Alarm", "degraded"),
        ("Critical", "failed"),
        ("UNKNOWN", "unknown"),
    ],
)
def test_an_alarm_is_passed_over(health: str, state: str) -> None:
    recording = a2(1).recording()
    text = recording.commands[INFO].stdout.replace("OK     ", f"{health:<7}")
    (one,) = detect(a2(1).recording(info=CommandResult(stdout=text, exit_status=0))).accelerators
    assert one.health == state
    assert (one.health_reason is None) == (health == "OK")


def test_the_engines_of_the_processor_are_npus() -> None:
    nothing = ProbeRecording(
        pci=kunpeng(COMPRESSION_ENGINE), files={DRIVER_FILE: None}, directories={"/dev": ()}
    )
    probe = RecordingProbe(nothing.replay())
    report = AscendDetector().detect(probe)
    assert report.state == "absent"
    assert [step.outcome for step in report.steps if step.source == "pci"] == ["absent"]
    assert not probe.recording().commands, "no tool is asked where there is certainly no card"


def test_the_engine_of_the_processor_is_missed_beside_npus() -> None:
    recording = a2(2).recording()
    beside = changed(recording, pci=(*(recording.pci or ()), COMPRESSION_ENGINE))
    assert (detect(beside).state, len(detect(beside).accelerators)) == ("present", 2)


def test_another_vendors_machine_is_claimed() -> None:
    report = detect(changed(a2().recording(), pci=(GPU,)))
    assert report.accelerators == ()
    assert report.state == "unreadable"


def test_two_vendors_in_one_host_hide_each_other() -> None:
    recording = a2(2).recording()
    both = sorted((*(recording.pci or ()), GPU), key=lambda one: one.bdf)
    report = detect(changed(recording, pci=tuple(both)))
    assert (report.state, len(report.accelerators)) == ("present", 2)


def test_npus_off_the_bus_are_lost_beside_the_servers_display() -> None:
    recording = a5(2, on_pci=False).recording()
    assert detect(changed(recording, pci=kunpeng())).state == "present"


@pytest.mark.parametrize("status", [0, 255, None])
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_refusing_driver_is_absence(status: int | None, stream: str) -> None:
    said = CommandResult(**{stream: "dcmi module initialize failed. ret is -8005\n"}, exit_status=status)  # type: ignore[arg-type]  # a text
    report = detect(a2(2).recording(info=said, map=said, topo=said))
    assert (report.state, report.accelerators) == ("unreadable", ())
    if stream == "stdout" or status != 0:
        assert "-8005" in (report.reason or "")
        assert "HwHiAiUser" in (report.reason or "")


def test_a_tool_without_its_libraries_says_nothing_of_the_way_out() -> None:
    why = "npu-smi: error while loading shared libraries: libdrvdsmi_host.so: cannot open shared object file"
    said = CommandResult(stderr=f"{why}\n", exit_status=127)
    report = detect(a2(2).recording(info=said, map=said, topo=said))
    assert (report.state, report.accelerators) == ("unreadable", ())
    assert "LD_LIBRARY_PATH" in (report.reason or "")


def test_no_card_by_the_tool_is_absence_though_the_bus_has_one() -> None:
    said = CommandResult(stdout="There is no NPU card on this server.\n", exit_status=0)
    assert detect(a2(1).recording(info=said, map=said, topo=said)).state == "unreadable"
    assert detect(ProbeRecording(commands={INFO: said})).state == "absent"


def test_a_chip_without_topology_is_partly_there() -> None:
    said = CommandResult(stdout="This device does not support querying topo.\n", exit_status=1)
    assert detect(p310().recording(topo=said)).state == "present"


def test_a_hung_tool_is_asked_again() -> None:
    probe = RecordingProbe(a2().recording(info=CommandResult(timed_out=True)).replay())
    report = AscendDetector().detect(probe)
    assert report.state == "unreadable"
    assert "did not answer in time" in (report.reason or "")
    assert list(probe.recording().commands) == [INFO]


def test_the_mapping_alone_loses_devices() -> None:
    report = detect(a3(2).recording(info=CommandResult(stderr="Segmentation fault", exit_status=139)))
    assert report.state == "partial"
    assert [(one.ids.index, one.ids.logical, one.ids.physical) for one in report.accelerators] == [
        (0, 0, 0),
        (0, 1, 1),
        (1, 2, 2),
        (1, 3, 3),
    ]


def test_a_failing_table_hides_what_single_questions_tell() -> None:
    from sage_infer_ascend.simulated import formats

    host = p310(2, first=0)
    failed = CommandResult(stderr="Segmentation fault", exit_status=139)
    recording = host.recording(info=failed, map=failed)
    more = {f"{INFO} -l": formats.listing("310P", host.npus)}
    for one in host.npus:
        more[f"{INFO} -t usages -i {one.npu}"] = formats.usages("310P", [one])
        more[f"{INFO} -t board -i {one.npu} -c 0"] = formats.board("310P", one)
    said = {key: CommandResult(stdout=text, exit_status=0) for key, text in more.items()}
    report = detect(changed(recording, commands={**recording.commands, **said}))
    assert report.state == "partial"
    assert [(one.name, one.ids.bdf, one.memory_total_bytes) for one in report.accelerators] == [
        ("310P3", "0000:81:00.0", 21525 * 2**20),
        ("310P3", "0000:85:00.0", 21525 * 2**20),
    ]


def test_a_machine_is_partly_there_because_its_boards_may_not_be_asked() -> None:
    recording = a3(2).recording()
    refused = CommandResult(stderr="Permission denied", exit_status=1)
    boards = {key: refused for key in recording.commands if "board" in key}
    report = detect(changed(recording, commands={**recording.commands, **boards}))
    assert report.state == "present"
    assert {one.chip for one in report.accelerators} == {"910C"}
    assert [step.detail for step in report.steps if "board" in step.source] == [
        "ended with status 1: Permission denied"
    ]


def test_the_second_die_alone_is_asked_for_the_first() -> None:
    host = a3(1)
    recording = Host(family="A3", npus=(host.npus[1],)).recording()
    probe = RecordingProbe(recording.replay())
    assert AscendDetector().detect(probe).state == "present"
    asked = [step.source for step in AscendDetector().detect(probe).steps if "board" in step.source]
    assert asked == ["npu-smi info -t board -i 0 -c 1"]


def test_a_missing_tool_is_not_asked_to_be_installed() -> None:
    gone = {f"{one} info": CommandResult(missing=True) for one in PROGRAMS}
    report = detect(changed(a2(2).recording(), commands=gone))
    assert report.state == "unreadable"
    assert "2 cards are on the bus" in (report.reason or "")
    assert "install Huawei's driver" in (report.reason or "")


def test_rows_without_a_number_are_listed_beside_those_of_the_mapping() -> None:
    recording = p310().recording()
    text = recording.commands[INFO].stdout.replace("NPU     Name", "名称        ", 1)
    report = detect(p310().recording(info=CommandResult(stdout=text, exit_status=0)))
    assert [one.ids.bdf for one in report.accelerators] == ["0000:81:00.0", "0000:85:00.0"]


def test_a_list_alone_shows_nothing() -> None:
    text = "\tTotal Count                    : 2\n\n" + "".join(
        f"\tNPU ID                         : {npu}\n\tChip Count                     : 1\n\n"
        for npu in (4, 5)
    )
    report = detect(ProbeRecording(commands={f"{INFO} -l": CommandResult(stdout=text)}))
    assert [one.ids.index for one in report.accelerators] == [4, 5]


def test_an_answer_about_one_card_loses_its_number_or_a_chip() -> None:
    keys = {"NPU ID": 2944, "PCIe Bus Info": "0000:0C:00.0", "PCI Device ID": "0xD801", "Chip Count": 2}
    text = "".join(f"\t{key:<30} : {value}\n" for key, value in keys.items())
    report = detect(ProbeRecording(commands={f"{INFO} -t board": CommandResult(stdout=text)}))
    shown = [(one.ids.index, one.ids.bdf, one.chip, one.features) for one in report.accelerators]
    assert shown == [(2944, "0000:0c:00.0", "910A", (f"chip_id={chip}",)) for chip in (0, 1)]


@pytest.mark.parametrize("host", [a1(), a2(), a3(), a5(), p310()], ids=lambda host: host.family)
def test_a_cut_table_loses_devices_in_silence(host: Host) -> None:
    text = host.recording().commands[INFO].stdout
    end = text.encode().rindex(b"| NPU", 0, len(text) - 100) - 400
    cut = damaged(host.recording(), {INFO: Damage(cut_at_byte=end)})
    report = detect(changed(cut, commands={INFO: cut.commands[INFO]}))
    assert len(report.accelerators) < len(host.npus)
    assert report.state == "partial"


def test_visible_devices_are_read_in_another_space() -> None:
    assert logical(detect(with_variable(a3(2), None))) == [0, 1, 2, 3]
    assert logical(detect(with_variable(a3(2), "2,1"))) == [None, 1, 0, None]
    assert logical(detect(with_variable(a3(2), "3,9,0"))) == [None, None, None, 0]
    assert logical(detect(with_variable(p310(), "1"))) == [None, 0]
    # Without a mapping, places in the order of NPU and chip.
    bare = with_variable(a2(2), "1")
    assert logical(detect(changed(bare, commands={INFO: bare.commands[INFO]}))) == [None, 0]


def test_a_missing_card_of_a_container_is_called_lost() -> None:
    machine = recorded_machines()["container with two of eight"].recording
    assert detect(machine).state == "present"
    bare = changed(machine, files={**machine.files, "/.dockerenv": None, "/run/.containerenv": None})
    assert detect(bare).state == "partial"


def test_numa_nodes_come_from_the_matrix_where_the_bus_does_not_tell() -> None:
    recording = a2(2).recording()
    cards = tuple(one.model_copy(update={"numa_node": -1}) for one in recording.pci or ())
    nodes = "/sys/devices/system/node"
    files = {**recording.files, f"{nodes}/node0/cpulist": "0-47\n", f"{nodes}/node1/cpulist": "48-95\n"}
    folders = {**recording.directories, nodes: ("node0", "node1", "online")}
    report = detect(changed(recording, pci=cards, files=files, directories=folders))
    assert [one.numa_node for one in report.accelerators] == [0, 0]


def test_the_tool_is_looked_for_on_the_path_alone() -> None:
    recording = a2(1).recording()
    commands = {
        "npu-smi info": CommandResult(missing=True),
        **{key.replace("npu-smi", PROGRAMS[1]): result for key, result in recording.commands.items()},
    }
    assert detect(changed(recording, commands=commands)).state == "present"


def test_a_command_runs_twice_or_detection_is_slow() -> None:
    class Counting(RecordingProbe):
        def run(self, command, *, timeout_s):  # type: ignore[no-untyped-def]  # as the base
            asked.append(tuple(command))
            return super().run(command, timeout_s=timeout_s)

    asked: list[tuple[str, ...]] = []
    AscendDetector().detect(Counting(a3().recording().replay()))
    assert sorted(asked) == sorted(set(asked))
    replay = a3().recording().replay()
    took = []
    for _ in range(5):
        start = time.perf_counter()
        AscendDetector().detect(replay)
        took.append(time.perf_counter() - start)
    assert min(took) < 0.05


def test_fake_tools_answer_as_the_recording_does(tmp_path: Path) -> None:
    """Executables in place of npu-smi print what the recording holds, noise around it, and the parsers take it."""
    recording = a2(2).recording()
    machine = write_machine(tmp_path, recording, {"npu-smi": Damage(widen=4, before=("loading ...",))})
    environment = machine.applied_to(dict(os.environ))
    commands = {}
    for key in recording.commands:
        ended = subprocess.run(
            [f"{environment['PATH']}/{key.split()[0]}", *key.split()[1:]],
            capture_output=True,
            text=True,
            env={"PATH": environment["PATH"]},
            timeout=30,
            check=False,
        )
        commands[key] = CommandResult(stdout=ended.stdout, stderr=ended.stderr, exit_status=ended.returncode)
    assert detect(changed(recording, commands=commands)) == detect(recording)


def test_a_framework_is_imported_to_detect() -> None:
    code = (
        "import sys, sage_infer_ascend.plugin as p; p.sage_infer_detector()\n"
        "import sage_infer_ascend.recipe, sage_infer_ascend.runtime\n"
        "sage_infer_ascend.runtime.AscendRuntime()\n"
        "assert not {'torch', 'torch_npu', 'vllm', 'acl'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_figure_has_no_source_or_does_not_fit_its_formula() -> None:
    chips = CHIPS.chips  # reading them holds every formula
    assert {one.name for one in chips} >= {"310P3", "910A", "910B1", "910B3", "910B4", "910C", "950PR"}
    assert all(len(figure.source) > 10 for chip in chips for figure in chip.figures.values())
    assert [one.name for one in chips if one.formulas] == ["910B1", "910B3", "910C-752T"]
