"""Detection over real plugins that answer, hang, crash, exit and lie, each in a child of its own."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from sage_infer.cli.hw import hw
from sage_infer.hal import Detection, detect_hardware
from sage_infer.plugins import Catalog, Registry, default_registry
from sage_infer_contracts.probe import CommandResult, PciDevice, ProbeRecording

DETECT = {
    "acme-good": """
        files = [probe.read_file('/acme'), probe.read_file('/secret')]
        print('noise on stdout')
        bdf = '0000:0a:00.0'
        return report('present', accelerators=(card(name=str(files[0]), ids=DeviceIds(bdf=bdf)),))""",
    "acme-raises": "        raise RuntimeError('driver says no')",
    "acme-hangs": "        import time; time.sleep(600)",
    "acme-exits": "        import os; os._exit(0)",
    "acme-aborts": "        import os; os.abort()",
    "acme-sysexit": "        raise SystemExit(0)",
    "acme-garbage": "        return {'state': 'present'}",
    "acme-lies": "        return DetectionReport(hardware_backend='other', state='absent')",
    "acme-copycat": """
        return report('present', accelerators=(card(name='mine', ids=DeviceIds(bdf='0000:0a:00.0')),))""",
    "acme-noisy": "        import os\n        while True: os.write(2, b'x' * 65536)",
}
MODULE = """
from sage_infer_contracts.detection import DetectionReport
from sage_infer_contracts.devices import AcceleratorDescriptor, DeviceIds
from sage_infer_contracts.plugins import hookimpl
NAME = {name!r}
def report(state, **more): return DetectionReport(hardware_backend=NAME, state=state, **more)
def card(**more): return AcceleratorDescriptor(hardware_backend=NAME, **more)
class Detector:
    hardware_backend = NAME
    def detect(self, probe):
{body}
@hookimpl
def sage_infer_detector(): return Detector()
"""


class Site:
    """A folder of installed detector plugins."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, *names: str) -> Registry:
        for name in names:
            module = f"hal_{name.replace('-', '_')}"
            (self.folder / f"{module}.py").write_text(MODULE.format(name=name, body=DETECT[name]))
            info = self.folder / f"{module}-1.0.dist-info"
            info.mkdir()
            (info / "METADATA").write_text(
                f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\nRequires-Dist: sage-infer-contracts>=0.1\n"
            )
            (info / "entry_points.txt").write_text(f"[sage_infer.hooks.v1]\n{name} = {module}\n")
        default_registry.cache_clear()
        return Registry(Catalog.scan(), allowlist=frozenset(names))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]).rstrip(":")
    )
    for name in [name for name in sys.modules if name.startswith("hal_acme")]:
        monkeypatch.delitem(sys.modules, name)
    return Site(folder)


def by_name(detection: Detection) -> dict[str, tuple[str, str]]:
    return {
        run.report.hardware_backend: (run.report.state, run.report.reason or "") for run in detection.runs
    }


def test_one_bad_detector_takes_others_with_it(site: Site) -> None:
    bad = [name for name in DETECT if name not in ("acme-good", "acme-copycat", "acme-hangs", "acme-noisy")]
    states = by_name(detect_hardware(site.install("acme-good", *bad), timeout_s=60))
    assert states["acme-good"][0] == "present"
    assert {states[name][0] for name in bad} == {"unreadable"}
    assert "driver says no" in states["acme-raises"][1]
    assert "signal 6" in states["acme-aborts"][1]
    assert "not a DetectionReport" in states["acme-garbage"][1]
    assert "reported other" in states["acme-lies"][1]


def test_a_hanging_detector_is_waited_for(site: Site) -> None:
    states = by_name(detect_hardware(site.install("acme-hangs"), timeout_s=3.0))
    assert states["acme-hangs"][0] == "unreadable"
    assert "deadline" in states["acme-hangs"][1]


def test_a_noisy_detector_fills_the_disk(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    from sage_infer.hal import detect

    monkeypatch.setattr(detect, "ANSWER_LIMIT_BYTES", 100_000)
    states = by_name(detect_hardware(site.install("acme-noisy"), timeout_s=60.0))
    assert "too much" in states["acme-noisy"][1]


def test_a_device_claimed_twice_is_counted_twice(site: Site) -> None:
    detection = detect_hardware(site.install("acme-good", "acme-copycat"), timeout_s=60)
    assert [one.ids.bdf for one in detection.profile.accelerators] == ["0000:0a:00.0"]
    assert "0000:0a:00.0 is claimed by" in " ".join(detection.problems)


def test_a_replay_looks_at_this_machine(site: Site) -> None:
    registry = site.install("acme-good")
    replay = ProbeRecording(files={"/acme": "Acme X1"}, note="n")
    detection = detect_hardware(registry, replay=replay, record=True, timeout_s=60)
    assert detection.profile.accelerators[0].name == "Acme X1"
    assert detection.recording is not None
    assert dict(detection.recording.files) == {"/acme": "Acme X1"}
    assert Detection.model_validate_json(detection.model_dump_json()) == detection


def test_recordings_of_several_detectors_lose_answers() -> None:
    from sage_infer.hal.merge import merge_recordings

    device = PciDevice(bdf="0000:01:00.0", vendor="1abc", device="0001", device_class="120000")
    one = ProbeRecording(pci=(device,), files={"/a": "1"}, environment={"X": None})
    two = ProbeRecording(
        files={"/b": None}, commands={"t": CommandResult(stdout="x")}, libraries={"l:c": "{}"}
    )
    merged = merge_recordings([one, two])
    assert merged.pci == (device,)
    assert dict(merged.files) == {"/a": "1", "/b": None}
    assert set(merged.commands) == {"t"}
    assert dict(merged.libraries) == {"l:c": "{}"}


@pytest.fixture
def only_good(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.install("acme-good")
    monkeypatch.setenv("SAGE_INFER_PLUGIN_ALLOWLIST", "acme-good")
    default_registry.cache_clear()


@pytest.mark.usefixtures("only_good")
def test_a_recording_does_not_replay(tmp_path: Path) -> None:
    runner = CliRunner()
    written = tmp_path / "rec.json"
    assert runner.invoke(hw, ["record", "-o", str(written), "--note", "mine"]).exit_code == 0
    assert json.loads(written.read_text())["note"] == "mine"
    assert json.loads(runner.invoke(hw, ["record"]).stdout)["files"] == {"/acme": None, "/secret": None}
    result = runner.invoke(hw, ["detect", "--json", "--replay", str(written)])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["profile"]["accelerators"][0]["name"] == "None"


@pytest.mark.usefixtures("only_good")
def test_the_table_hides_what_was_found(tmp_path: Path) -> None:
    recording = tmp_path / "rec.json"
    recording.write_text(ProbeRecording(files={"/acme": "Acme [X1]"}).model_dump_json())
    result = CliRunner().invoke(hw, ["detect", "--replay", str(recording)], env={"COLUMNS": "160"})
    assert result.exit_code == 0
    for text in ("acme-good", "present", "Acme [X1]", "0000:0a:00.0"):
        assert text in result.stdout


def test_a_file_that_is_no_recording_is_replayed(tmp_path: Path) -> None:
    from sage_infer_contracts.errors import InvalidRequest

    (tmp_path / "x.json").write_text("{]")
    result = CliRunner().invoke(hw, ["detect", "--replay", str(tmp_path / "x.json")])
    assert isinstance(result.exception, InvalidRequest)


@pytest.mark.usefixtures("only_good")
def test_a_masked_recording_names_the_machine(tmp_path: Path) -> None:
    import platform

    recording = tmp_path / "rec.json"
    serial = "Serial Number : 1320922003456"
    recording.write_text(ProbeRecording(files={"/acme": serial}).model_dump_json())
    text = CliRunner().invoke(hw, ["record", "--mask", "--replay", str(recording), "--note", "n"]).stdout
    assert "1320922003456" not in text
    assert "Serial Number : " in text
    assert json.loads(text)["note"] == "n"
    noted = CliRunner().invoke(hw, ["record", "--mask", "--note", f"on {platform.node()}."]).stdout
    assert f"on {platform.node()}." not in noted or len(platform.node()) < 3
