"""A kept detection is used only while it holds, and never without its age."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from sage_infer.cli.hw import hw
from sage_infer.hal import Detection, DetectionCache, detection_cache
from sage_infer.plugins import Catalog, Registry, default_registry
from sage_infer_contracts.devices import HardwareProfile
from sage_infer_contracts.probe import CommandResult, ProbeRecording

NONE = Registry(Catalog.scan(), autoload=False)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count looks at the machine instead of looking; a detector asks for one variable and one command."""
    found: list[int] = []

    def look(*_: object, **__: object) -> Detection:
        found.append(1)
        asked = ProbeRecording(
            environment={"ACME_VISIBLE": None}, commands={"t": CommandResult(stdout="SN 1234567")}
        )
        return Detection(profile=HardwareProfile(), problems=(f"look {len(found)}",), recording=asked)

    monkeypatch.setattr(detection_cache, "detect_hardware", look)
    return found


@pytest.fixture
def cache(tmp_path: Path) -> DetectionCache:
    return DetectionCache(tmp_path / "sub" / "detection.json")


def test_a_fresh_detection_is_made_again_or_an_old_one_used(looks: list[int], cache: DetectionCache) -> None:
    first = cache.get(max_age_s=60, registry=NONE)
    again = cache.get(max_age_s=60, registry=NONE)
    assert (len(looks), first.age_s, again.detection) == (1, 0.0, first.detection)
    assert 0 < again.age_s < 60
    cache.get(max_age_s=60, refresh=True, registry=NONE)
    time.sleep(0.01)
    assert cache.get(max_age_s=0.005, registry=NONE).detection.problems == ("look 3",)


def test_a_detection_outlives_what_it_depends_on(
    looks: list[int], cache: DetectionCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.get(max_age_s=60, registry=NONE)
    monkeypatch.setenv("ACME_VISIBLE", "0")
    cache.get(max_age_s=60, registry=NONE)
    monkeypatch.delenv("ACME_VISIBLE")
    monkeypatch.setattr(detection_cache, "boot_id", lambda: "another")
    cache.get(max_age_s=60, registry=NONE)
    cache.get(max_age_s=60, registry=Registry(Catalog.scan(), allowlist=frozenset()))
    monkeypatch.setattr(time, "time", lambda: 1.0)  # the clock went back
    cache.get(max_age_s=60, registry=NONE)
    assert len(looks) == 4 + (NONE.entries("hooks") != ())


def test_outputs_of_tools_lie_about(looks: list[int], cache: DetectionCache, tmp_path: Path) -> None:
    cache.get(max_age_s=60, registry=NONE)
    text = (tmp_path / "sub" / "detection.json").read_text()
    assert "1234567" not in text
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["detection.json"]


@pytest.mark.parametrize("text", ["", "{]", "{}", '{"detected_at": 1}'])
def test_a_garbled_file_stops_detection(looks: list[int], tmp_path: Path, text: str) -> None:
    (tmp_path / "d.json").write_text(text)
    assert DetectionCache(tmp_path / "d.json").get(max_age_s=60, registry=NONE).age_s == 0.0


def test_a_file_that_cannot_be_written_stops_detection(looks: list[int], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert DetectionCache(tmp_path / "file" / "d.json").get(max_age_s=60, registry=NONE).age_s == 0.0


def test_the_age_is_not_shown(looks: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGE_INFER_CACHE", str(tmp_path))
    monkeypatch.setenv("SAGE_INFER_PLUGIN_AUTOLOAD", "0")
    default_registry.cache_clear()
    ages = [
        json.loads(CliRunner().invoke(hw, ["detect", "--max-age", "99", "--json"]).stdout)["age_s"]
        for _ in range(2)
    ]
    assert ages[0] == 0
    assert ages[1] > 0
    assert " s ago" in CliRunner().invoke(hw, ["detect", "--max-age", "99"]).stdout
    assert " s ago" not in CliRunner().invoke(hw, ["detect", "--max-age", "99", "--refresh"]).stdout
    assert "devices" in CliRunner().invoke(hw, ["status"]).stdout
    refused = CliRunner().invoke(hw, ["detect", "--max-age", "9", "--replay", str(tmp_path)])
    assert "not for a replay" in refused.stderr
    default_registry.cache_clear()
