"""The console script: exit codes, messages for people, and what needs no long run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sage_infer_conformance.cli.main import conformance

HEADER = '{"kind": "eviction", "subject": "the cache of node 7"}\n'
STEPS = """\
{"command": {"op": "create", "capacity_blocks": 2}}
{"command": {"op": "admit", "key": "b1"}}
{"command": {"op": "admit", "key": "b2", "parent": "b1", "depth": 1}}
"""
GOOD = '{"command": {"op": "victims", "count": 1}, "victims": {"keys": ["b2"]}}\n'
BAD = '{"command": {"op": "victims", "count": 1}, "victims": {"keys": ["b1"]}}\n'


def call(*words: str | Path) -> Result:
    result = CliRunner().invoke(conformance, [str(word) for word in words])
    assert "Traceback" not in result.output
    return result


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    path = tmp_path / "recorded.jsonl"
    path.write_text(HEADER + STEPS + GOOD)
    return path


def test_judge_needs_no_subject(recorded: Path) -> None:
    result = call("judge", recorded)
    assert result.exit_code == 0, result.output
    assert "EV-03  held" in result.output
    assert "EV-04  not seen" in result.output


def test_judge_finds_what_is_broken_and_marks_the_step(recorded: Path) -> None:
    recorded.write_text(HEADER + STEPS + BAD)
    result = call("judge", recorded)
    assert result.exit_code == 1
    assert "b1 is proposed and its child ['b2'] stays" in result.output
    assert "    > 4. victims(1)  gives ['b1']" in result.output


def test_judge_takes_several_histories_and_tells_verdicts_as_json(recorded: Path) -> None:
    recorded.write_text(HEADER + STEPS + GOOD + "\n" + HEADER + STEPS + BAD)
    result = call("judge", recorded, "--json")
    verdicts = {row["clause"]: row["verdict"] for row in map(json.loads, result.output.splitlines())}
    assert verdicts["EV-03"] == "violated"
    assert verdicts["EV-01"] == "held"


def test_judge_takes_steps_without_a_header_where_the_kind_is_given(recorded: Path) -> None:
    recorded.write_text(STEPS + GOOD)
    assert call("judge", recorded, "--kind", "eviction").exit_code == 0
    refused = call("judge", recorded)
    assert refused.exit_code == 2
    assert "line 1: a step before any header" in refused.output


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        (HEADER + STEPS + "{ not json\n", "line 5: not JSON"),
        (HEADER + '\n\n{"command": {"op": "leap"}}\n', "line 4: not a step of kind eviction"),
        (HEADER + '{"command": {"op": "touch", "key": 3}}\n', "line 2: not a step of kind eviction"),
        ('{"kind": "teapot"}\n' + STEPS, "line 1: neither a step"),
        (HEADER + "[1, 2]\n", "line 2: neither a step"),
    ],
)
def test_judge_names_the_line_that_it_cannot_read(recorded: Path, text: str, says: str) -> None:
    recorded.write_text(text)
    result = call("judge", recorded)
    assert result.exit_code == 2
    assert says in result.output


def test_judge_of_a_history_in_which_nothing_is_judged_does_not_pass(recorded: Path) -> None:
    recorded.write_text(HEADER + STEPS)
    assert call("judge", recorded).exit_code == 1


def test_replay_and_verify_say_what_a_file_is_not(recorded: Path, tmp_path: Path) -> None:
    result = call("verify", recorded)
    assert result.exit_code == 2
    assert "neither a certificate nor a report" in result.output
    binary = tmp_path / "x.bin"
    binary.write_bytes(b"\xff\xfe\x00")
    assert call("replay", binary).exit_code == 2
    assert call("judge", binary).exit_code == 2


def test_explain_tells_how_a_clause_is_judged_and_what_proves_it() -> None:
    result = call("explain", "ev-01")
    assert result.exit_code == 0, result.output
    assert "victims are resident and unpinned" in result.output
    assert "floor" in result.output
    assert "TouchForgetsPin" in result.output
    unknown = call("explain", "EV-99")
    assert unknown.exit_code == 2
    assert "EV-99 is no clause" in unknown.output


def test_list_names_kinds_and_imports_no_plugin() -> None:
    result = call("list", "--json")
    assert result.exit_code == 0, result.output
    kinds = {row["kind"]: row for row in json.loads(result.output)["kinds"]}
    assert "EV-01" in kinds["eviction"]["clauses"]
    assert call("list").exit_code == 0


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["run", "no-such-plugin"], 3, "no conformance subject or driver is called 'no-such-plugin'"),
        (["run", "./missing.py:Policy"], 3, "there is no file"),
        (["run", "math:no_such"], 3, "no attribute"),
        (["run", "math:pi"], 2, "neither a Subject nor something that makes one"),
        (["run", "x", "--kind", "teapot"], 2, "teapot"),
        (["run", "x", "--rule", "EV-99"], 2, "EV-99 is no clause"),
        (["run", "x", "--set", "novalue"], 2, "not KEY=VALUE"),
        (["run", "x", "--seconds", "5"], 2, "--mode soak"),
        (["run"], 2, "Missing argument"),
    ],
)
def test_a_user_error_is_one_line_and_an_exit_code(words: list[str], code: int, says: str) -> None:
    result = call(*words)
    assert result.exit_code == code, result.output
    assert says in result.output


def test_a_module_that_fails_to_import_is_exit_3(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("raise RuntimeError('the driver is too old')\n")
    result = call("run", f"{path}:Policy", "--kind", "eviction")
    assert result.exit_code == 3
    assert "the driver is too old" in result.output


def test_a_module_that_ends_the_process_is_exit_3(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("import os\nos._exit(9)\n")
    result = call("run", f"{path}:Policy", "--kind", "eviction")
    assert result.exit_code == 3
    assert "status 9" in result.output


def test_a_device_that_was_asked_for_and_is_absent_is_exit_4(tmp_path: Path) -> None:
    path = tmp_path / "absent.py"
    path.write_text(
        "from sage_infer_contracts.errors import DeviceUnavailable\n"
        "def make(capacity_blocks):\n    raise DeviceUnavailable('no such chip; install its driver')\n"
    )
    result = call("run", f"{path}:make", "--kind", "eviction", "--device", "npu:0")
    assert result.exit_code == 4
    assert "npu:0 was asked for: no such chip; install its driver" in result.output


def test_help_names_every_exit_code() -> None:
    text = " ".join(call("--help").output.split())
    for code in range(5):
        assert f" {code} " in text


def test_the_host_mounts_the_commands_and_its_own_help_imports_none_of_them() -> None:
    pytest.importorskip("sage_infer")
    code = (
        "import sys\nfrom click.testing import CliRunner\nfrom sage_infer.cli.main import sage\n"
        "listed = CliRunner().invoke(sage, ['infer', '--help']).output\n"
        "loaded = [m for m in sys.modules if m.split('.')[0] in ('sage_infer_conformance', 'hypothesis')]\n"
        "mounted = CliRunner().invoke(sage, ['infer', 'conformance', 'run', 'no-such-plugin'])\n"
        "print('conformance' in listed, loaded, mounted.exit_code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["True", "[]", "3"]
