"""A recording written as files and programs is read back as it was, by the live probe and real child processes."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from sage_infer.hal import LiveProbe
from sage_infer_contracts.detecting.ladder import failure_of
from sage_infer_contracts.probe import CommandResult, PciDevice, ProbeRecording
from sage_infer_contracts.testing import Damage, FakeMachine, asked_again, with_exit_status, write_machine

TEXT = st.text(st.characters(codec="utf-8"), max_size=60)
HEX4 = st.integers(0, 0xFFFF).map("{:04x}".format)
NAMES = st.sampled_from(("davinci0", "nvidia1", "x-y", "version", "a b"))
WORDS = st.lists(st.sampled_from(("info", "-q", "--id=0", "-i", "3", "é")), max_size=3)


@st.composite
def devices(draw: st.DrawFn) -> tuple[PciDevice, ...]:
    numbers = sorted(draw(st.sets(st.integers(0, 255), max_size=4)))
    return tuple(
        PciDevice(
            bdf=f"0000:{number:02x}:00.{number % 8}",
            vendor=draw(HEX4),
            device=draw(HEX4),
            device_class=draw(HEX4) + "00",
            numa_node=draw(st.none() | st.integers(0, 3)),
            driver=draw(st.none() | st.sampled_from(("acme", "vfio-pci"))),
        )
        for number in numbers
    )


@st.composite
def results(draw: st.DrawFn) -> CommandResult:
    if draw(st.booleans()):
        return CommandResult(
            stdout=draw(TEXT), stderr=draw(TEXT), exit_status=draw(st.sampled_from((0, 1, 18, 255, -11)))
        )
    return CommandResult(missing=True)


@st.composite
def recordings(draw: st.DrawFn) -> ProbeRecording:
    program = st.sampled_from(("acme-smi", "other_smi"))
    tools = {
        " ".join([draw(program), *draw(WORDS)]): draw(results().filter(lambda one: not one.missing))
        for _ in range(draw(st.integers(0, 2)))
    }
    present = draw(st.dictionaries(NAMES, TEXT, max_size=3))
    return ProbeRecording(
        pci=draw(st.none() | devices()),
        files={
            **{f"/proc/driver/acme/{name}": text for name, text in present.items()},
            "/proc/absent": None,
            "/proc/driver": None,
        },
        directories={
            "/dev": tuple(sorted(draw(st.sets(NAMES)))),
            "/proc/absent": None,
            **({"/proc/driver/acme": tuple(sorted(present))} if present else {}),
        },
        environment={"ACME_VISIBLE": draw(st.none() | st.sampled_from(("", "0,1")))},
        commands={
            **tools,
            "gone --now": CommandResult(missing=True),
            "/opt/acme/bin/tool -v": CommandResult(exit_status=0),
        },
        libraries=draw(
            st.dictionaries(st.just("acme.library:devices"), st.sampled_from(('{"a": 1}', "[]", None)))
        ),
    )


def looked_at(machine: FakeMachine, recording: ProbeRecording, timeout_s: float = 60.0) -> ProbeRecording:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in machine.environment.items():
            patch.delenv(name, raising=False) if value is None else patch.setenv(name, value)
        return asked_again(recording, LiveProbe(machine.root), timeout_s=timeout_s)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(recordings())
def test_a_fake_machine_differs_from_its_recording(recording: ProbeRecording) -> None:
    with tempfile.TemporaryDirectory() as folder:
        machine = write_machine(Path(folder), recording)
        assert looked_at(machine, recording) == recording
        assert machine.applied_to({"HOME": "/h", "ACME_VISIBLE": "9"}).get("HOME") == "/h"


TABLE = "\n".join(f"| {number} | X1 | {number * 7} W |" for number in range(200)) + "\n"
INFO = ProbeRecording(commands={"acme-smi info": CommandResult(stdout=TABLE, exit_status=0)})


def info(tmp_path: Path, damage: Damage, timeout_s: float = 60.0) -> CommandResult:
    machine = write_machine(tmp_path, INFO, {"acme-smi": damage})
    return looked_at(machine, INFO, timeout_s).commands["acme-smi info"]


DAMAGES = (
    Damage(cut_at_byte=1001),
    Damage(before=("noise", "more"), after=("end",), widen=3),
    Damage(drop_lines=r"^\| 7 \|", exit_status=9, stderr="card 7 is lost\n"),
    Damage(delay_s=0.3),
)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: str(damage.model_dump(exclude_defaults=True)))
def test_a_real_process_does_other_damage_than_a_replay(tmp_path: Path, damage: Damage) -> None:
    began = time.monotonic()
    assert info(tmp_path, damage) == damage.applied(INFO.commands["acme-smi info"])
    assert time.monotonic() - began >= damage.delay_s


def test_a_hung_tool_costs_more_than_its_deadline_or_gives_no_reason(tmp_path: Path) -> None:
    began = time.monotonic()
    result = info(tmp_path, Damage(hang=True, cut_at_byte=100), timeout_s=2.0)
    assert time.monotonic() - began < 6.0
    assert (result.timed_out, result.exit_status) == (True, None)
    assert result.stdout == TABLE[:100]
    assert failure_of(result) == "did not answer in time"


def test_a_fake_tool_answers_what_was_not_recorded(tmp_path: Path) -> None:
    machine = write_machine(tmp_path, INFO)
    asked = ProbeRecording(commands={"acme-smi info -q": CommandResult()})
    result = looked_at(machine, asked).commands["acme-smi info -q"]
    assert (result.exit_status, result.stderr) == (64, "acme-smi: not recorded: info -q\n")


def test_a_tool_of_this_machine_is_asked(tmp_path: Path) -> None:
    machine = write_machine(tmp_path, INFO)
    assert (
        looked_at(machine, ProbeRecording(commands={"sh -c true": CommandResult()}))
        .commands["sh -c true"]
        .missing
    )


def test_a_plain_captures_unknown_status_is_never_known(tmp_path: Path) -> None:
    recording = ProbeRecording(commands={"t": CommandResult(stdout="x")})
    machine = write_machine(tmp_path, recording)
    assert looked_at(machine, recording).commands["t"] == with_exit_status(recording.commands["t"])


@pytest.mark.parametrize("path", ["/../outside", "relative", "/a/../../b", "/a\0b"])
def test_a_recording_writes_outside_its_folder(tmp_path: Path, path: str) -> None:
    with pytest.raises(ValueError, match="absolute path"):
        write_machine(tmp_path / "m", ProbeRecording(files={path: "x"}))
    assert os.listdir(tmp_path) == ["m"]


def test_a_contradiction_is_written_as_half_a_machine(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="both a file and a folder"):
        write_machine(tmp_path, ProbeRecording(files={"/a": "x", "/a/b": "y"}))
