"""Recordings: what was asked replays the same; what was not asked is unknown, not absent."""

from collections.abc import Sequence

import hypothesis.strategies as st
from hypothesis import given

from sage_infer_contracts.probe import (
    CommandResult,
    PciDevice,
    Probe,
    ProbeRecording,
    RecordingProbe,
    Unknown,
    command_key,
)

DEVICE = PciDevice(bdf="0000:3b:00.0", vendor="abcd", device="0001", device_class="120000", numa_node=0)
maybe_text = st.none() | st.text()
recordings = st.builds(
    ProbeRecording,
    pci=st.none() | st.just((DEVICE,)),
    files=st.dictionaries(st.text(), maybe_text, max_size=3),
    directories=st.dictionaries(st.text(), st.none() | st.tuples(st.text()), max_size=3),
    environment=st.dictionaries(st.text(), maybe_text, max_size=3),
    commands=st.dictionaries(st.text(), st.builds(CommandResult, stdout=st.text()), max_size=3),
    libraries=st.dictionaries(st.text().map(lambda name: f"{name}:call"), maybe_text, max_size=3),
)


def ask_all(probe: Probe, recording: ProbeRecording) -> list[object]:
    return [
        probe.pci_devices(),
        *(probe.read_file(path) for path in recording.files),
        *(probe.list_dir(path) for path in recording.directories),
        *(probe.environ(name) for name in recording.environment),
        *(probe.run([key], timeout_s=1) for key in recording.commands),
        *(probe.library(*split_library(key)) for key in recording.libraries),
    ]


def split_library(key: str) -> Sequence[str]:
    return key.rsplit(":", 1)


@given(recordings)
def test_a_recording_of_a_replay_replays_the_same(recording: ProbeRecording) -> None:
    recorder = RecordingProbe(recording.replay())
    answers = ask_all(recorder, recording)
    assert ask_all(recorder.recording().replay(), recording) == answers
    assert recorder.recording() == recording


@given(recordings)
def test_a_recording_survives_json(recording: ProbeRecording) -> None:
    assert ProbeRecording.model_validate_json(recording.model_dump_json()) == recording


def test_what_was_not_recorded_is_unknown_everywhere() -> None:
    recorder = RecordingProbe(ProbeRecording().replay())
    answers = [
        recorder.pci_devices(),
        recorder.read_file("/etc/x"),
        recorder.list_dir("/etc"),
        recorder.environ("X"),
        recorder.run(["tool", "-q"], timeout_s=1),
        recorder.library("lib", "call"),
    ]
    assert all(isinstance(answer, Unknown) for answer in answers)
    assert recorder.recording() == ProbeRecording()


def test_commands_are_keyed_by_their_words() -> None:
    assert command_key(["tool", "-q", "x"]) == "tool -q x"
