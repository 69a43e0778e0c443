"""All vendors' plugins in one environment, under core: nobody takes another's devices, and two vendors both appear."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from importlib import import_module
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from sage_infer.hal.detect import Detection, detect_machines
from sage_infer.plugins import default_registry
from sage_infer_contracts.devices import DeviceIds
from sage_infer_contracts.errors import PluginNotFound
from sage_infer_contracts.kinds import PluginKind
from sage_infer_contracts.probe import ProbeRecording
from sage_infer_contracts.testing import RecordedMachine

VENDORS = ("ascend", "cambricon", "cuda", "hygon", "kunlunxin")
SAMPLES = Path(
    os.environ.get(
        "SAGE_INFER_HW_SAMPLES", Path(__file__).parents[2] / ".." / "shared" / "data" / "hw_samples"
    )
)


def _machines(vendor: str) -> Mapping[str, RecordedMachine]:
    fixtures = import_module(f"sage_infer_{vendor}.conformance").DETECTOR.fixtures
    machines: Mapping[str, RecordedMachine] = fixtures()
    return machines


MACHINES = {(vendor, name): one for vendor in VENDORS for name, one in _machines(vendor).items()}


def _sage(*words: str) -> str:
    command = [sys.executable, "-m", "sage_infer", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout


def _states(detection: Detection) -> dict[str, str]:
    return {run.report.hardware_backend: run.report.state for run in detection.runs}


@pytest.fixture(scope="module")
def detections() -> dict[tuple[str, str], Detection]:
    """Return what every installed detector together make of every vendor's machines."""
    found = detect_machines([one.recording for one in MACHINES.values()])
    return dict(zip(MACHINES, found, strict=True))


@pytest.mark.parametrize(("vendor", "name"), MACHINES, ids=lambda word: str(word).replace(" ", "-"))
def test_a_vendors_machine_has_no_device_of_another(
    vendor: str, name: str, detections: dict[tuple[str, str], Detection]
) -> None:
    detection, machine = detections[vendor, name], MACHINES[vendor, name]
    others = {other: _states(detection)[other] for other in VENDORS if other != vendor}
    assert not set(others.values()) & {"present", "partial"}, others
    assert {one.hardware_backend for one in detection.profile.accelerators} <= {vendor}
    if machine.devices is not None:
        assert len(detection.profile.accelerators) == machine.devices
    assert machine.state in (None, _states(detection)[vendor])


def _largest(vendor: str) -> RecordedMachine:
    known = [one for one in _machines(vendor).values() if one.state == "present" and one.recording.pci]
    return max(known, key=lambda one: (one.devices or 0, len(one.recording.commands)))


def _side_by_side(first: ProbeRecording, second: ProbeRecording) -> ProbeRecording:
    """Return a host with the cards, files and tools of both, on PCI domains of their own."""
    directories: dict[str, tuple[str, ...] | None] = {**first.directories}
    for path, names in second.directories.items():
        before = directories.get(path)
        directories[path] = names if before is None else tuple(dict.fromkeys((*before, *(names or ()))))
    files = {**second.files, **{path: text for path, text in first.files.items() if text is not None}}
    told = {words: one for words, one in first.commands.items() if not one.missing}
    return ProbeRecording(
        pci=(*(first.pci or ()), *(second.pci or ())),
        files=files,
        directories=directories,
        environment={},
        commands={**first.commands, **second.commands, **told},
        libraries={**second.libraries, **first.libraries},
    )


def _moved(recording: ProbeRecording) -> ProbeRecording:
    """Return the same machine with its cards in PCI domain 0001, in every source."""
    return ProbeRecording.model_validate_json(recording.model_dump_json().replace("0000:", "0001:"))


@pytest.mark.parametrize(("first", "second"), list(combinations(VENDORS, 2)))
def test_two_vendors_in_one_host_both_appear(first: str, second: str) -> None:
    one, other = _largest(first), _largest(second)
    host = _side_by_side(one.recording, _moved(other.recording))
    (detection,) = detect_machines([host])
    counts = dict.fromkeys(VENDORS, 0)
    for accelerator in detection.profile.accelerators:
        counts[accelerator.hardware_backend] += 1
    assert {vendor: count for vendor, count in counts.items() if count} == {
        first: one.devices,
        second: other.devices,
    }, detection.problems


@pytest.mark.skipif(not SAMPLES.is_dir(), reason=f"no captures at {SAMPLES}")
def test_every_public_capture_is_read_by_its_vendor_alone() -> None:
    """One row per capture: who found how many devices in it. A failure of the tool is no machine without devices."""
    results: list[dict[str, Any]] = json.loads(_sage("hw", "detect", "--replay", str(SAMPLES), "--json"))
    wrong = []
    for one in results:
        vendor = one["file"].partition("/")[0]
        owners = [found["hardware_backend"] for found in one["profile"]["accelerators"]]
        states = {run["report"]["hardware_backend"]: run["report"]["state"] for run in one["runs"]}
        print(f"{one['file']:80} {states.get(vendor, '-'):11} {len(owners):3}")
        failure = Path(one["file"]).name.startswith("error_")
        if set(owners) - {vendor} or bool(owners) == failure:
            wrong.append(one["file"])
        others = {states[other] for other in VENDORS if other != vendor}
        if others - {"absent", "unreadable"}:
            wrong.append(f"{one['file']}: {states}")
    assert results
    assert not wrong


@pytest.mark.parametrize("vendor", VENDORS)
def test_automatic_choice_takes_the_chips_backend_and_not_for_a_hidden_or_failed_one(vendor: str) -> None:
    (detection,) = detect_machines([_largest(vendor).recording])
    assert default_registry().choose(PluginKind.BACKEND, detection.profile).require().name == vendor
    for change in ({"health": "failed"}, {"ids": DeviceIds(index=0)}):
        lost = tuple(one.model_copy(update=change) for one in detection.profile.accelerators)
        profile = detection.profile.model_copy(update={"accelerators": lost})
        with pytest.raises(PluginNotFound, match=f"{vendor}: no hook proposed it"):
            default_registry().choose(PluginKind.BACKEND, profile).require()


@pytest.mark.parametrize("vendor", VENDORS)
def test_every_pattern_of_a_known_error_is_one(vendor: str) -> None:
    errors = import_module(f"sage_infer_{vendor}.errors").ERRORS
    assert errors.errors
    assert errors.find("nothing that a driver says") is None  # looks for every one


def test_each_lists_itself_and_its_backend() -> None:
    listed = {one["name"] for one in json.loads(_sage("plugin", "list", "--json"))["plugins"]}
    backends = {one["name"] for one in json.loads(_sage("backend", "list", "--json"))["backends"]}
    assert set(VENDORS) <= listed
    assert set(VENDORS) <= backends
