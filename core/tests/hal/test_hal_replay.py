"""A folder of plain captures and recordings: one profile per file, and no file passed over in silence."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from sage_infer.cli.hw import hw
from sage_infer.hal import detect_hardware
from sage_infer.plugins import default_registry
from sage_infer_contracts.probe import CommandResult, ProbeRecording
from sage_infer_contracts.testing import Damage, write_machine

MODULE = """
import os, time
from sage_infer_contracts.detecting.conclude import conclude
from sage_infer_contracts.detecting.devices import Device
from sage_infer_contracts.detecting.ladder import Ladder
from sage_infer_contracts.plugins import hookimpl

class Detector:
    hardware_backend = "acme"
    def detect(self, probe):
        ladder = Ladder(probe)
        cards = ladder.pci("1abc")
        text = ladder.run("acme-smi", "info").text or ""
        if "hang" in text: time.sleep(600)
        if "crash" in text: os.abort()
        names = [line for line in text.splitlines() if line.startswith("X")]
        return conclude("acme", ladder, cards, [Device(name=name) for name in names])

@hookimpl
def sage_infer_detector(): return Detector()
"""


@pytest.fixture(autouse=True)
def _acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    info = site / "acme_kept-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "acme_kept.py").write_text(MODULE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-kept\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[sage_infer.hooks.v1]\nacme-kept = acme_kept\n")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setenv("SAGE_INFER_PLUGIN_ALLOWLIST", "acme-kept")
    monkeypatch.delitem(sys.modules, "acme_kept", raising=False)
    default_registry.cache_clear()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "captures"
    (found / "sub").mkdir(parents=True)
    return found


def put(folder: Path, name: str, text: str, source: str | None = "command: acme-smi info") -> None:
    (folder / f"{name}.txt").write_text(text)
    if source is not None:
        (folder / f"{name}.source").write_text(source)


def detect(path: Path, *more: str) -> list[dict[str, object]]:
    result = CliRunner().invoke(
        hw, ["detect", "--json", "--replay", str(path), *more], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    found: list[dict[str, object]] = json.loads(result.stdout)
    return found


def summary(one: dict[str, object]) -> tuple[object, ...]:
    return (
        one["file"],
        [card["name"] for card in one["profile"]["accelerators"]],  # type: ignore[index]
        [run["report"]["state"] for run in one["runs"]],  # type: ignore[attr-defined]
        one["command"],
    )


def test_a_file_is_dropped_or_given_another_files_answer(folder: Path) -> None:
    for number in range(18):  # more than one child takes at once
        put(folder, f"m{number:02}", f"X{number}\n")
    found = detect(folder)
    assert [summary(one) for one in found] == [
        (f"m{number:02}.txt", [f"X{number}"], ["present"], "acme-smi info") for number in range(18)
    ]
    assert all(one["problems"] == [] for one in found)


def test_a_file_that_cannot_be_used_is_passed_over_in_silence(folder: Path) -> None:
    put(folder, "a", "X1\n", "command: dmesg")
    put(folder, "b", "X1\n", "hardware: eight cards")
    put(folder, "c", "X1\n", None)
    put(folder / "sub", "d", "X1\n")
    (folder / "e.json").write_text("{]")
    (folder / "f.json").write_text(
        ProbeRecording(
            pci=(), commands={"acme-smi info": CommandResult(stdout="", exit_status=0)}
        ).model_dump_json()
    )
    (folder / "FORMAT.md").write_text("acme-smi info\n")
    put(folder, "g", "", "command: acme-smi info")
    found = {str(one["file"]): one for one in detect(folder)}
    assert list(found) == ["a.txt", "b.txt", "c.txt", "e.json", "f.json", "g.txt", "sub/d.txt"]
    problems = {name: " ".join(one["problems"]) for name, one in found.items()}  # type: ignore[arg-type]
    assert "asked for 'dmesg'" in problems["a.txt"]
    assert "source does not name" in problems["b.txt"]
    assert "no source beside it" in problems["c.txt"]
    assert "is not a recording" in problems["e.json"]
    assert summary(found["f.json"]) == ("f.json", [], ["absent"], None)
    assert (summary(found["g.txt"])[2], problems["g.txt"]) == (["unreadable"], "")
    assert summary(found["sub/d.txt"])[1] == ["X1"]


def test_any_json_is_a_machine_nobody_looked_at(folder: Path) -> None:
    recording = ProbeRecording(commands={"acme-smi info": CommandResult(stdout="X1\n", exit_status=0)})
    for name, text in (("a", '{"x": 1}'), ("b", "[1]"), ("c", '{"recording": 3}'), ("e", "[" * 100_000)):
        (folder / f"{name}.json").write_text(text)
    (folder / "d.json").write_text('{"recording": ' + recording.model_dump_json() + ', "devices": 1}')
    found = detect(folder)
    assert [len(one["problems"]) for one in found] == [1, 1, 1, 0, 1]  # type: ignore[arg-type]
    assert summary(found[3])[1] == ["X1"]


def test_a_capture_of_another_name_is_passed_over(folder: Path) -> None:
    for name in ("a.json", "b.csv", "c.log"):
        (folder / name).write_text("X1\n")
        (folder / f"{name}.source").write_text("command: acme-smi info")
    (folder / "d.log").write_text("X1\n")
    assert [summary(one)[:2] for one in detect(folder)] == [
        (name, ["X1"]) for name in ("a.json", "b.csv", "c.log")
    ]


def test_a_capture_of_one_card_is_lost(folder: Path) -> None:
    put(folder, "a", "X1\n", "command: acme-smi info -i 3")
    assert [summary(one) for one in detect(folder)] == [("a.txt", ["X1"], ["present"], "acme-smi info")]


def test_one_capture_is_no_list(folder: Path) -> None:
    (folder / "a.out").write_text("X1\n")
    (folder / "a.out.source").write_text("$ acme-smi info")
    assert [summary(one)[:2] for one in detect(folder / "a.out")] == [("a.out", ["X1"])]
    (folder / "b.txt").write_text("$ acme-smi info\nX2\n", encoding="utf-16")
    assert [summary(one)[1] for one in detect(folder / "b.txt")] == [["X2"]]


def test_a_crash_or_a_hang_takes_other_files_with_it(folder: Path) -> None:
    for name, text in (("a", "X1\n"), ("b", "crash\n"), ("c", "X3\n"), ("d", "hang\n"), ("e", "X5\n")):
        put(folder, name, text)
    found = detect(folder, "--timeout", "2")
    assert [summary(one)[1] for one in found] == [["X1"], [], ["X3"], [], ["X5"]]
    reasons = [one["runs"][0]["report"]["reason"] for one in found]  # type: ignore[index]
    assert "signal 6" in reasons[1]
    assert "deadline" in reasons[3]


def test_the_table_does_not_say_which_file_it_is_of(folder: Path) -> None:
    put(folder, "a", "X1\n")
    result = CliRunner().invoke(hw, ["detect", "--replay", str(folder)])
    assert "a.txt: acme-smi info" in result.stdout
    assert CliRunner().invoke(hw, ["detect", "--json", "--replay", str(folder / "sub")]).stdout == "[]\n"


def test_a_hung_tool_costs_no_more_than_the_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = ProbeRecording(commands={"acme-smi info": CommandResult(stdout="X1\n", exit_status=0)})
    machine = write_machine(tmp_path / "fake", recording, {"acme-smi": Damage(hang=True)})
    monkeypatch.setenv("PATH", str(machine.environment["PATH"]))
    (run,) = detect_hardware(timeout_s=4.0).runs
    assert run.duration_s < 4.0
    step = run.report.steps[-1]  # the state is the bus's to say: this machine's has no such card
    assert (step.source, step.outcome, step.detail) == ("acme-smi info", "failed", "did not answer in time")
