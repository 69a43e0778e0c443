"""`sage infer backend list` says for each backend whether it can run here, and what is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from sage_infer.backends.readiness import Readiness, readiness
from sage_infer.cli.backend import backend
from sage_infer.hal import Detection, DetectorRun
from sage_infer.plugins import default_registry
from sage_infer_contracts.detection import DetectionReport
from sage_infer_contracts.devices import AcceleratorDescriptor, HardwareProfile
from sage_infer_contracts.kinds import PluginKind
from sage_infer_contracts.plugins import PluginRef

RECIPES = """
from sage_infer_contracts.launch import BackendRecipe, EngineLaunchPlan, VersionWindow
def recipe(name, **more):
    return BackendRecipe(name=name, hardware=more.pop("hardware", "acme"), engines=("rdy-engine",), **more)
PLAN = EngineLaunchPlan(hardware="acme", required_modules=("no_such_module",), platform_plugin="vllm.x:acme",
    versions=(VersionWindow(distribution="no-such-dist", minimum="1", below="2"),), install_hint="pip install acme-sdk")
GOOD = recipe("rdy-good", device_runtime="rdy-device")
NO_DEVICE_RUNTIME = recipe("rdy-runtimeless", device_runtime="gone")
PLANNED = recipe("rdy-planned", launch_plan=PLAN)
ELSEWHERE = recipe("rdy-elsewhere", hardware="other", device_runtime="rdy-device")
ENGINELESS = BackendRecipe(name="rdy-engineless", hardware="acme", engines=("gone",), device_runtime="rdy-device")
CLICK = VersionWindow(distribution="click", minimum="1", below="2")
GONE = VersionWindow(distribution="gone-sdk", minimum="3")
def engine(config, context): ...
def device(): ...
"""
ENTRY_POINTS = """
[sage_infer.backend.v1]
rdy-good = rdy_plugin:GOOD
rdy-runtimeless = rdy_plugin:NO_DEVICE_RUNTIME
rdy-planned = rdy_plugin:PLANNED
rdy-elsewhere = rdy_plugin:ELSEWHERE
rdy-engineless = rdy_plugin:ENGINELESS
rdy-broken = rdy_plugin_gone:X
[sage_infer.device.v1]
rdy-device = rdy_plugin:device
"""


def install(site: Path, name: str, entry_points: str) -> None:
    info = site / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nRequires-Dist: sage-infer-contracts>=0.1\n"
    )
    (info / "entry_points.txt").write_text(entry_points)


@pytest.fixture(autouse=True)
def _plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    install(site, "rdy-plugin", ENTRY_POINTS)
    install(site, "rdy-engine-plugin", "[sage_infer.backend.v1]\nrdy-engine = rdy_plugin:engine\n")
    tested = "\n[sage_infer.tested.v1]\nclick = rdy_plugin:CLICK\ngone-sdk = rdy_plugin:GONE\n"
    install(site, "rdy-old", "[sage_infer.backend.v1]\nrdy-old = rdy_plugin:engine\n" + tested)
    (site / "rdy_plugin.py").write_text(RECIPES)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site))
    default_registry.cache_clear()


def here(*, accelerators: int = 1, state: str = "present", reason: str | None = None) -> Detection:
    card = AcceleratorDescriptor(hardware_backend="acme", name="X1")
    found = DetectionReport.model_validate(
        {"hardware_backend": "acme", "state": state, "reason": reason, "accelerators": (card,) * accelerators}
    )
    ref = PluginRef(kind=PluginKind.HOOKS, distribution="acme", version="1", name="acme")
    return Detection(profile=HardwareProfile(), runs=(DetectorRun(plugin=ref, report=found, duration_s=0.0),))


def examine(name: str, detection: Detection, distribution: str = "rdy-plugin") -> Readiness:
    return readiness(
        [PluginRef(kind=PluginKind.BACKEND, distribution=distribution, version="1.0", name=name)], detection
    )[0]


def test_a_backend_that_can_run_here_is_said_to_miss_something() -> None:
    assert examine("rdy-good", here()) == Readiness(hardware="acme")
    noted = examine("rdy-good", here(state="partial", reason="card 3 is lost"))
    assert (noted.ok, noted.notes) == (True, ("card 3 is lost",))


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("rdy-runtimeless", ["device runtime 'gone' is not installed"]),
        ("rdy-planned", ["'no_such_module'", "'vllm.x:acme'", "no-such-dist >= 1"]),
        ("rdy-engineless", ["none of its engines is installed (gone)"]),
        ("rdy-broken", ["rdy_plugin_gone"]),
    ],
)
def test_what_is_missing_is_not_said(name: str, missing: list[str]) -> None:
    found = examine(name, here())
    assert len(found.missing) == len(missing)
    for said, wanted in zip(found.missing, missing, strict=True):
        assert wanted in said


def test_a_machine_without_the_chip_can_run_it() -> None:
    assert examine("rdy-good", here(accelerators=0, state="absent")).missing == ("no acme device: absent",)
    unreadable = here(accelerators=0, state="unreadable", reason="driver mismatch")
    assert examine("rdy-good", unreadable).missing == ("no acme device: driver mismatch",)
    elsewhere = examine("rdy-elsewhere", here())
    assert (elsewhere.ok, "no detector for other" in elsewhere.notes[0]) == (True, True)


def test_an_untested_version_of_a_framework_is_passed_over() -> None:
    found = examine("rdy-old", here(), "rdy-old")
    assert "click is" in found.missing[0]
    assert "tested with click >= 1, < 2" in found.missing[0]
    assert "gone-sdk is not installed; tested with gone-sdk >= 3" in found.missing[1]


def test_the_list_says_nothing_of_readiness() -> None:
    rows = json.loads(CliRunner().invoke(backend, ["list", "--json"]).stdout)["backends"]
    found = {row["name"]: row for row in rows}
    assert (found["rdy-good"]["hardware"], found["rdy-good"]["runs_here"]) == ("acme", True)
    assert found["rdy-planned"]["runs_here"] is False
    text = CliRunner().invoke(backend, ["list"]).stdout
    assert "none of its engines is installed (gone)" in text
    names = json.loads(CliRunner().invoke(backend, ["list", "--names", "--json"]).stdout)["backends"]
    assert all("runs_here" not in row for row in names)
