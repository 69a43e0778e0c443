"""The command groups: quick, lazy, and one line for what goes wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from sage_infer.cli.lazy import LazyCommand, LazyGroup
from sage_infer.cli.main import INFER_COMMANDS, LLM_COMMANDS, sage, sage_infer
from sage_infer_contracts.errors import InvalidRequest


def run(*args: str, code: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code] if code else [sys.executable, "-m", "sage_infer", *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


_HELP = """
import sys
from sage_infer.cli.main import sage
try:
    sage(["infer", "--help"])
finally:
    heavy = {"pydantic", "rich", "fastapi", "torch", "uvicorn", "yaml", "asyncio"} & set(sys.modules)
    print("HEAVY", sorted(heavy))
"""


def test_help_lists_every_command_and_imports_nothing_heavy(testbed: Path) -> None:
    done = run(code=_HELP)
    assert "HEAVY []" in done.stdout
    for name in (*INFER_COMMANDS, "llm", "squawk", "squawk-broken"):
        assert f"\n  {name} " in done.stdout
    assert "From parrot-plugin." in done.stdout


@pytest.mark.parametrize("command", [*INFER_COMMANDS.values(), *LLM_COMMANDS.values()])
def test_every_command_of_the_table_exists(command: LazyCommand) -> None:
    if "cli.hw" in command.target:
        pytest.importorskip("sage_infer.cli.hw")
    assert isinstance(command.load(), click.Command)


def test_both_scripts_answer_to_version() -> None:
    for group in (sage, sage_infer):
        assert CliRunner().invoke(group, ["--version"]).output.startswith("sage-infer, version ")


def test_serve_is_the_same_command_in_every_place() -> None:
    for args in (["infer", "serve"], ["llm", "serve"], ["infer", "llm", "serve"]):
        assert "OpenAI-compatible" in CliRunner().invoke(sage, [*args, "--help"]).output


def test_a_wrong_command_is_a_usage_error_with_a_suggestion() -> None:
    done = run("sreve")
    assert done.returncode == 2
    assert "serve" in done.stderr


def test_a_plugin_command_runs_and_a_broken_one_is_named(testbed: Path) -> None:
    assert run("squawk").stdout == "squawk!\n"
    done = run("squawk-broken")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "parrot-plugin" in done.stderr
    assert "parrot_commands_missing" in done.stderr


def test_two_plugins_with_one_command_are_a_conflict(testbed: Path) -> None:
    other = testbed / "other-1.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1\n")
    (other / "entry_points.txt").write_text("[sage_infer.commands]\nsquawk = parrot_commands:squawk\n")
    done = run("squawk")
    assert done.returncode == 1
    assert "claimed by other, parrot-plugin" in done.stderr


def test_a_plugin_command_that_is_no_command_is_refused(testbed: Path) -> None:
    points = testbed / "parrot_plugin-1.2.3.dist-info" / "entry_points.txt"
    points.write_text(
        "[sage_infer.commands]\nsquawk = parrot_commands:__doc__\nserve = parrot_commands:squawk\n"
    )
    assert "is not a click command" in run("squawk").stderr
    assert "OpenAI-compatible" in run("serve", "--help").stdout


def test_a_family_error_is_one_line_and_json_where_data_was_asked_for(testbed: Path) -> None:
    done = run("generate", "--quiet", "--llm", "no-such-model", "--json", "hi")
    assert done.returncode == 1
    assert done.stderr.startswith("error: no model is called 'no-such-model'")
    assert done.stderr.count("\n") == 1
    error = json.loads(done.stdout)["error"]
    assert (error["code"], error["param"]) == ("invalid_request", "model")
    assert run("generate", "--quiet", "--llm", "no-such-model", "--", "--json").stdout == ""


def test_debug_shows_the_traceback(testbed: Path) -> None:
    done = run("--debug", "generate", "--llm", "no-such-model", "hi")
    assert "Traceback" in done.stderr
    assert done.returncode == 1


def test_ctrl_c_exits_with_130() -> None:
    @click.command()
    def stuck() -> None:
        raise KeyboardInterrupt

    group = LazyGroup("g")
    group.add_command(stuck)
    assert CliRunner().invoke(group, ["stuck"]).exit_code == 130


def test_an_error_deep_in_a_subgroup_is_reported_once() -> None:
    @click.command()
    def fails() -> None:
        raise InvalidRequest("first\nsecond")

    inner = LazyGroup("inner")
    inner.add_command(fails)
    outer = LazyGroup("outer")
    outer.add_command(inner)
    result = CliRunner().invoke(outer, ["inner", "fails"])
    assert (result.exit_code, result.stderr) == (1, "error: first second\n")
    assert "inner" in CliRunner().invoke(outer, ["--help"]).output
