"""The doctor and its children: whatever a plugin does to its process, the host gets an answer by the deadline."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sage_infer.cli import plugin as plugin_cli
from sage_infer.cli.plugin import plugin
from sage_infer.plugins.child import ask
from sage_infer.plugins.doctor import examine

pytestmark = pytest.mark.slow

EVICTION, HOOKS = "sage_infer.eviction.v1", "sage_infer.hooks.v1"
GOOD = "def make(capacity_blocks): return None\n"
HANG = "import threading\nthreading.Event().wait(600)\n"


def bad_lines(site: Any, **options: Any) -> list[str]:
    report = examine(site.registry(), **options)
    return [finding.line.text for finding in report.findings if not finding.line.ok]


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("import os\nos._exit(0)", "ended without an answer, exit status 0"),
        ("import os\nos._exit(7)", "ended without an answer, exit status 7"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", "killed by SIGSEGV"),
        ("import sys\nsys.exit('bye')", "SystemExit: bye"),
        ("raise ValueError('broken')", "ValueError: broken"),
        ("make = 3", "must name a factory of EvictionPolicy"),
        ("import sys\nsys.modules['torch'] = sys\n" + GOOD, "imports torch (PK-02)"),
    ],
)
def test_a_plugin_that_does_this_is_a_problem_line(site: Any, source: str, complaint: str) -> None:
    site.add("bad-one", {EVICTION: {"bad": "bad_one:make"}}, {"bad_one": source})
    lines = bad_lines(site)
    assert any(complaint in line for line in lines), lines


def test_a_plugin_that_hangs_ends_by_the_deadline_and_leaves_no_process(site: Any) -> None:
    source = (
        "import subprocess, sys\nfrom pathlib import Path\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import threading; threading.Event().wait(600)'])\n"
        f"Path(__file__).with_suffix('.pid').write_text(str(child.pid))\n{HANG}"
    )
    site.add("hanging", {EVICTION: {"hang": "hanging_one:make"}}, {"hanging_one": source})
    assert any("did not answer within 5 s and was killed" in line for line in bad_lines(site, timeout_s=5))
    assert ended(int((site.path / "hanging_one.pid").read_text()))


def ended(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        os.sched_yield()
    return False


def test_a_detector_that_hangs_when_it_is_made_ends_by_the_deadline(site: Any) -> None:
    hook = "from sage_infer_contracts.plugins import hookimpl\n@hookimpl\ndef sage_infer_detector():\n"
    source = hook + "".join(f"    {line}\n" for line in HANG.splitlines())
    site.add("slow-detector", {HOOKS: {"slow": "slow_detector"}}, {"slow_detector": source})
    assert any("did not answer within" in line for line in bad_lines(site, timeout_s=5))


def test_what_a_plugin_prints_does_not_garble_the_answer(site: Any) -> None:
    source = "import os\nprint('{\"error\": 1}')\nos.write(1, b'noise')\n" + GOOD
    site.add("noisy", {EVICTION: {"noisy": "noisy_one:make"}}, {"noisy_one": source})
    assert bad_lines(site) == []


@pytest.mark.parametrize("requires", [None, "sage-infer-contracts>=0.1,<9", "sage-infer-contracts==0.1.0"])
def test_a_dependency_that_is_no_mere_floor_is_a_problem(site: Any, requires: str | None) -> None:
    site.add("capped", {EVICTION: {"capped": "capped_one:make"}}, {"capped_one": GOOD}, requires=requires)
    assert any("(PK-01)" in line for line in bad_lines(site))


def test_hooks_contribute_lines_and_their_problems_show(site: Any) -> None:
    source = (
        "from sage_infer_contracts.plugins import DoctorLine, hookimpl\n"
        "@hookimpl\ndef sage_infer_doctor(): return [DoctorLine(ok=False, text='driver too old', fix='upgrade it')]\n"
        "@hookimpl\ndef sage_infer_detector(): raise OSError('lost')\n"
    )
    site.add("lines", {HOOKS: {"lines": "lines_one"}}, {"lines_one": source})
    findings = examine(site.registry()).findings
    assert [f.line.fix for f in findings if f.line.text == "driver too old"] == ["upgrade it"]
    assert any("OSError: lost" in f.line.text for f in findings)


def test_a_question_that_is_none_is_answered_with_how_the_child_ended() -> None:
    answer = ask({"nothing": 1}, timeout_s=60)
    assert answer.answer is None
    assert "exit status 1" in (answer.failure or "")
    assert "KeyError" in answer.stderr_tail


@pytest.fixture
def cli(site: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the command over the folder of test plugins alone."""
    from sage_infer.plugins.catalog import Catalog

    real = Catalog.scan
    monkeypatch.setattr(Catalog, "scan", staticmethod(lambda **_: real(path=[str(site.path)])))
    monkeypatch.setattr(plugin_cli, "_registry", site.registry)
    return lambda *args: CliRunner().invoke(plugin, list(args), catch_exceptions=False)


def test_list_prints_data_and_check_asks_each_in_a_child(site: Any, cli: Any) -> None:
    assert "no plugin is installed" in cli("list").stdout
    site.add("fine", {EVICTION: {"fine": "fine_one:make", "Bad": "x:y"}}, {"fine_one": GOOD})
    site.add("dead", {EVICTION: {"dead": "dead_one:make"}}, {"dead_one": "import os; os._exit(1)"})
    listed = json.loads(cli("list", "--json").stdout)
    assert [row["name"] for row in listed["plugins"]] == ["dead", "fine"]
    assert [problem["code"] for problem in listed["problems"]] == ["illegal_name"]
    checked = cli("list", "--json", "--check", "--kind", "eviction")
    assert checked.exit_code == 1
    verdicts = {row["name"]: row["check"]["ok"] for row in json.loads(checked.stdout)["plugins"]}
    assert verdicts == {"fine": True, "dead": False}
    table = cli("list")
    assert "fine" in table.stdout
    assert "illegal name" in table.stderr
    assert cli("list", "--kind", "device").stdout == "no plugin is installed\n"


def test_show_prints_metadata_and_an_unknown_name_is_an_error(site: Any, cli: Any) -> None:
    from sage_infer_contracts.errors import PluginNotFound

    site.add(
        "fine", {EVICTION: {"fine": "fine_one:make", "cpu": "fine_one:make"}}, {"fine_one": "raise OSError"}
    )
    shown = json.loads(cli("show", "fine:fine", "--json").stdout)
    assert shown["plugins"][0] | {"license": None} == {
        "kind": "eviction", "name": "fine", "distribution": "fine", "version": "1.0", "target": "fine_one:make",
        "requires_contract": ">=0.1", "summary": "a test plugin", "license": None,
    }  # fmt: skip
    assert "a test plugin" in cli("show", "fine").stdout
    assert "reserved" in cli("show", "cpu").stderr
    with pytest.raises(PluginNotFound, match="Installed: fine"):
        cli("show", "fien")


def test_doctor_exits_with_1_if_anything_is_wrong(site: Any, cli: Any) -> None:
    site.add("fine", {EVICTION: {"fine": "fine_one:make"}}, {"fine_one": GOOD})
    well = cli("doctor", "--json")
    assert (well.exit_code, json.loads(well.stdout)["ok"]) == (0, True)
    assert cli("doctor").exit_code == 0
    site.add("dead", {EVICTION: {"dead": "dead_one:make"}}, {"dead_one": "raise OSError('gone')"})
    ill = cli("doctor", "--json")
    assert (ill.exit_code, json.loads(ill.stdout)["ok"]) == (1, False)
    assert "BAD" in cli("doctor").stdout
