"""What people see of a detection: every device once, links both ways, and a reason for every state."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from sage_infer.cli.hw import hw
from sage_infer.cli.hw_show import device_labels, show_detection, show_reasons
from sage_infer.hal import Detection, DetectorRun
from sage_infer.hal.explain import explained, why
from sage_infer_contracts.detection import DetectionReport, DetectionStep
from sage_infer_contracts.devices import (
    AcceleratorDescriptor,
    DeviceIds,
    Figure,
    HardwareProfile,
    LinkProfile,
    MemoryTierSpec,
)
from sage_infer_contracts.errors import InvalidRequest
from sage_infer_contracts.kinds import RESERVED_HARDWARE_NAMES, PluginKind
from sage_infer_contracts.plugins import PluginRef
from sage_infer_contracts.probe import ProbeRecording

STEPS = (
    DetectionStep(source="pci", outcome="used", detail="2 functions of vendor 1abc"),
    DetectionStep(source="acme-smi", outcome="failed", detail="did not answer in time"),
)


def card(number: int, **more: object) -> AcceleratorDescriptor:
    facts: dict[str, object] = {
        "hardware_backend": "acme",
        "name": "X[1]",
        "ids": DeviceIds(index=number, logical=7 - number, bdf=f"0000:0{number}:00.0", uuid=f"U-{number}"),
        "memory_total_bytes": 64 * 2**30,
        "memory_used_bytes": 3 * 2**30,
        "utilisation_percent": 12.5,
        "numa_node": number,
        "health": "degraded",
        "health_reason": "ECC errors",
    }
    return AcceleratorDescriptor.model_validate({**facts, **more})


LINKS = (
    LinkProfile(source="0000:00:00.0", destination="U-1", kind="XL"),
    LinkProfile(source="U-1", destination="mlx5_0", kind="PIX"),
)
PROFILE = HardwareProfile(
    accelerators=(card(0), card(1), card(2)),
    links=LINKS,
    memory_tiers=(
        MemoryTierSpec(
            name="disk",
            capacity_bytes=2**40,
            read_bandwidth=Figure(value=3.21, unit="GB/s", source="measured"),
        ),
    ),
)


def detection(report: DetectionReport, profile: HardwareProfile = PROFILE) -> Detection:
    ref = PluginRef(kind=PluginKind.HOOKS, distribution="acme-plugin", version="1", name="acme")
    return Detection(
        profile=profile,
        runs=(DetectorRun(plugin=ref, report=report, duration_s=0.25),),
        problems=("two claim it",),
    )


def report(state: str, **more: object) -> DetectionReport:
    return DetectionReport.model_validate(
        {"hardware_backend": "acme", "state": state, "steps": STEPS, **more}
    )


def test_the_table_leaves_something_out(capsys: pytest.CaptureFixture[str]) -> None:
    show_detection(detection(report("partial", reason="card 3 is lost", accelerators=PROFILE.accelerators)))
    shown = " ".join(capsys.readouterr().out.split())
    for text in (
        "acme partial 3 0.2 s card 3 is lost",
        "acme1 X[1] 6 0000:01:00.0 U-1 3.0 GiB / 64.0 GiB 12.5 % 1 degraded: ECC errors",
        "acme0 X XL",
        "acme1 XL X PIX",
        "mlx5_0 PIX X",
        "3.21 GB/s",
        "problem: two claim it",
    ):
        assert text in shown
    assert "acme2 X" in shown
    assert "\nacme2 " not in shown.partition("links")[2]


def test_what_is_unknown_is_shown_as_zero(capsys: pytest.CaptureFixture[str]) -> None:
    unknown = {"memory_used_bytes": None, "utilisation_percent": None, "numa_node": None, "ids": DeviceIds()}
    bare = card(0, **unknown)
    show_detection(detection(report("present", accelerators=(bare,)), HardwareProfile(accelerators=(bare,))))
    shown = capsys.readouterr().out
    assert "? / 64.0 GiB" in shown
    assert "0 %" not in shown
    assert "links" not in shown


def test_two_devices_have_one_label() -> None:
    dies = [card(0), card(0), card(1), card(5, ids=DeviceIds())]
    assert device_labels(dies) == ["acme0.0", "acme0.1", "acme1", "acme3"]


def test_a_state_has_no_reason() -> None:
    assert why(report("unreadable", reason="driver mismatch")) == "driver mismatch"
    assert why(report("absent")) == "pci: 2 functions of vendor 1abc; acme-smi: did not answer in time"
    assert why(report("present", accelerators=(card(0),))) == "1 device, shown by pci"
    assert why(report("absent", steps=())) == "it names no source"


def test_hardware_without_a_detector_is_passed_over(capsys: pytest.CaptureFixture[str]) -> None:
    found = explained(detection(report("absent")))
    assert {one.hardware_backend for one in found} == {"acme", *RESERVED_HARDWARE_NAMES}
    show_reasons(found)
    shown = capsys.readouterr().out
    assert "acme-smi  failed   did not answer in time" in shown
    assert "cpu: not installed, no detector for it is installed; pip install sage-infer-host" in shown
    assert [one.state for one in explained(detection(report("absent")), ["acme"])] == ["absent"]
    with pytest.raises(InvalidRequest, match="no detector is called acmee; there are acme, "):
        explained(detection(report("absent")), ["acmee"])


def test_explain_says_nothing_about_a_replay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sage_infer.plugins import default_registry

    monkeypatch.setenv("SAGE_INFER_PLUGIN_AUTOLOAD", "0")
    default_registry.cache_clear()
    (tmp_path / "rec.json").write_text(ProbeRecording().model_dump_json())
    (tmp_path / "a.txt").write_text("x\n")
    one = CliRunner().invoke(hw, ["explain", "--json", "--replay", str(tmp_path / "rec.json")])
    assert {row["state"] for row in json.loads(one.stdout)} == {"not installed"}
    many = CliRunner().invoke(hw, ["explain", "cpu", "--json", "--replay", str(tmp_path)])
    assert list(json.loads(many.stdout)) == ["a.txt", "rec.json"]
    text = CliRunner().invoke(hw, ["explain", "cpu", "--replay", str(tmp_path)]).stdout
    assert text.startswith("\n== a.txt\ncpu: not installed")
    default_registry.cache_clear()
