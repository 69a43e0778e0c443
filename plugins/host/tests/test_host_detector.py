"""The detector ``cpu`` on recordings, whole and damaged."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from sage_infer_contracts.detection import DetectionReport, HardwareDetector
from sage_infer_contracts.membership import missing_members
from sage_infer_contracts.probe import CommandResult, ProbeRecording
from sage_infer_host.detector import CpuDetector
from sage_infer_host.machines import GIB, arm, container, mac, x86_numa
from sage_infer_host.parsing import cpu_list

MACHINES = {
    "x86": x86_numa(),
    "arm": arm(),
    "container": container(),
    "v1": container(version=1),
    "mac": mac(),
}


def detect(recording: ProbeRecording) -> DetectionReport:
    return CpuDetector().detect(recording.replay())


def edited(recording: ProbeRecording, **files: str | None) -> ProbeRecording:
    return recording.model_copy(update={"files": dict(recording.files) | files})


def test_the_detector_lacks_a_member_of_the_protocol() -> None:
    assert missing_members(CpuDetector(), HardwareDetector) == []


def test_a_two_socket_server_is_misread() -> None:
    report = detect(x86_numa())
    assert report.state == "present"
    assert report.host is not None
    assert (report.host.logical_cpus, report.host.physical_cores, report.host.usable_cpus) == (16, 8, 16.0)
    assert report.host.model == "Some Xeon @ 2.00GHz"
    assert [node.cpus for node in report.numa_nodes] == [
        (0, 1, 2, 3, 8, 9, 10, 11),
        (4, 5, 6, 7, 12, 13, 14, 15),
    ]
    assert [node.memory_bytes for node in report.numa_nodes] == [64 * GIB] * 2
    assert report.numa_nodes[0].distances == (10, 21)
    assert report.accelerators[0].dtypes == ("fp32", "bf16", "int8")


def test_disks_are_doubled_or_misnamed() -> None:
    disks = [tier for tier in detect(x86_numa()).memory_tiers if tier.persistent]
    assert [(disk.name, disk.path, disk.capacity_bytes // GIB, disk.available_bytes) for disk in disks] == [
        ("ssd", "/", 500, 120 * GIB),
        ("disk", "/mnt/big disk", 4000, 3000 * GIB),
    ]


def test_an_arm_board_gets_x86_fields() -> None:
    report = detect(arm())
    assert report.host is not None
    assert report.host.architecture == "aarch64"
    assert report.host.model == "CPU implementer 0x48 part 0xd01"
    assert (report.host.logical_cpus, report.host.physical_cores) == (8, 8)
    assert report.accelerators[0].dtypes == ("fp32", "bf16", "fp16", "int8")


@pytest.mark.parametrize("version", [1, 2])
def test_a_container_gets_the_machines_resources(version: int) -> None:
    report = detect(container(version=version))
    assert report.host is not None
    assert (report.host.logical_cpus, report.host.usable_cpus) == (16, 1.5)
    dram = report.memory_tiers[0]
    assert (dram.name, dram.capacity_bytes, dram.available_bytes) == ("dram", 2 * GIB, GIB + GIB // 2)
    assert report.memory_tiers[1].path == "/"


def test_a_parent_groups_tighter_quota_is_missed() -> None:
    nested = edited(
        x86_numa(),
        **{
            "/proc/self/cgroup": "0::/a/b\n",
            "/sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
            "/sys/fs/cgroup/a/cpu.max": "250000 100000\n",
        },
    )
    host = detect(nested).host
    assert host is not None
    assert host.usable_cpus == 2.5


def test_affinity_to_absent_processors_counts() -> None:
    host = detect(edited(x86_numa(), **{"/proc/self/status": "Cpus_allowed_list:\t0-2,100-1000\n"})).host
    assert host is not None
    assert host.usable_cpus == 3.0


def test_a_machine_without_proc_is_guessed_at() -> None:
    report = detect(mac())
    assert report.host is not None
    assert (report.host.architecture, report.host.logical_cpus, report.host.model) == (
        "arm64",
        10,
        "Some M chip",
    )
    assert report.numa_nodes == ()
    assert [tier.name for tier in report.memory_tiers] == ["dram"]
    assert report.memory_tiers[0].available_bytes is None


def test_an_empty_recording_is_absent_or_invented() -> None:
    report = detect(ProbeRecording())
    assert (report.state, report.host, report.accelerators) == ("unreadable", None, ())
    assert {step.outcome for step in report.steps} == {"unknown"}


def test_sources_that_disagree_give_the_larger_count() -> None:
    report = detect(edited(x86_numa(), **{"/sys/devices/system/cpu/online": "0-63\n"}))
    assert report.state == "partial"
    assert report.host is not None
    assert report.host.logical_cpus == 16


@pytest.mark.parametrize("name", MACHINES)
def test_the_same_probe_gives_two_answers_or_json_loses_some(name: str) -> None:
    report = detect(MACHINES[name])
    assert detect(ProbeRecording.model_validate_json(MACHINES[name].model_dump_json())) == report
    assert DetectionReport.model_validate_json(report.model_dump_json()) == report


junk = st.one_of(
    st.text(max_size=30),
    st.sampled_from(["-1", "0-", "9" * 5000, "²", "0-99999999999", "\x00", "最大", "max max"]),
)


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, ProbeRecording]:
    name = draw(st.sampled_from(sorted(MACHINES)))
    files: dict[str, str | None] = dict(MACHINES[name].files)
    commands = dict(MACHINES[name].commands)
    for path in draw(st.lists(st.sampled_from(sorted(files)), min_size=1, max_size=4)):
        files[path] = _damage(draw, files[path] or "")
    for key in draw(st.lists(st.sampled_from(sorted(commands) or ["uname -m"]), max_size=3)):
        text = _damage(draw, commands.get(key, CommandResult()).stdout)
        commands[key] = CommandResult(stdout=text or "", exit_status=draw(st.sampled_from([0, 1, None])))
    return name, MACHINES[name].model_copy(update={"files": files, "commands": commands})


def _damage(draw: st.DrawFn, text: str) -> str | None:
    kind = draw(st.sampled_from(["gone", "cut", "junk", "insert", "lines"]))
    at = draw(st.integers(0, len(text)))
    if kind == "gone":
        return None
    if kind == "cut":
        return text[:at]
    if kind == "junk":
        return draw(junk)
    if kind == "insert":
        return text[:at] + "\n" + draw(junk) + "\n" + text[at:]
    return "\n".join(draw(st.permutations(text.splitlines()[:40])))


@settings(suppress_health_check=[HealthCheck.too_slow])  # on a busy machine it is, and nothing is wrong then
@given(damaged())
def test_damage_raises_or_invents_cores(case: tuple[str, ProbeRecording]) -> None:
    name, recording = case
    report = detect(recording)
    whole = detect(MACHINES[name]).host
    assert whole is not None
    assert DetectionReport.model_validate_json(report.model_dump_json()) == report
    if report.host is None:
        assert report.state == "unreadable"
        return
    host = report.host
    assert host.usable_cpus <= host.logical_cpus
    assert host.physical_cores is None or host.physical_cores <= host.logical_cpus


@given(st.sampled_from(sorted(MACHINES)), st.data())
def test_a_cut_file_adds_cores(name: str, data: Any) -> None:
    files = dict(MACHINES[name].files)
    path = data.draw(st.sampled_from(sorted(files)))
    text = files[path] or ""
    files[path] = text[: data.draw(st.integers(0, len(text)))]
    report, whole = detect(MACHINES[name].model_copy(update={"files": files})), detect(MACHINES[name]).host
    assert whole is not None
    assert report.host is None or report.host.logical_cpus <= whole.logical_cpus
    assert report.host is None or (report.host.physical_cores or 0) <= (whole.physical_cores or 0)


@given(st.sets(st.integers(0, 300)))
def test_a_cpu_list_is_misread(cpus: set[int]) -> None:
    assert cpu_list(",".join(str(cpu) for cpu in sorted(cpus))) == tuple(sorted(cpus))


@pytest.mark.parametrize("text", ["3-1", "a", "1,,2", "0-99999999", "1-2-3", "-1", None])
def test_a_malformed_cpu_list_counts(text: str | None) -> None:
    assert cpu_list(text) is None


def test_loading_the_plugin_imports_a_framework() -> None:
    code = (
        "import sys, sage_infer_host.plugin\n"
        "print([m for m in ('torch', 'transformers', 'vllm') if m in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60).stdout
        == "[]\n"
    )
