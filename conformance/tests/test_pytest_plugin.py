"""``pytest --sage-plugin``: a test a clause where it is asked for, and nothing at all where it is not."""

import subprocess
import sys
from pathlib import Path

import pytest

MUTANT = "sage_infer_conformance.mutants.eviction:MUTANTS.AsManyAsThereAre"


def run_pytest(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(folder), *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)


def test_an_unrelated_run_imports_neither_the_kit_nor_what_it_needs(tmp_path: Path) -> None:
    (tmp_path / "test_unrelated.py").write_text(
        "import sys\n"
        "def test_it():\n"
        "    heavy = {'sage_infer_conformance', 'sage_infer_contracts', 'pydantic', 'attrs', 'rich', 'psutil'}\n"
        "    assert not heavy & {name.split('.')[0] for name in sys.modules}\n"
        "    ours = [name for name in sys.modules if name.startswith('_sage_infer_pytest')]\n"
        "    assert ours == ['_sage_infer_pytest']\n"
    )
    # Plugins of other projects, hypothesis's and coverage's among them, are kept out: they import what they like.
    others = ["-p", "no:hypothesispytest", "-p", "no:_hypothesis_pytestplugin", "-p", "no:schemathesis"]
    done = run_pytest(tmp_path, "-q", *others)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_every_clause_is_an_item_that_can_be_chosen(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, "--collect-only", "-q", "--sage-plugin", MUTANT)
    assert done.returncode == 0, done.stdout + done.stderr
    listed = done.stdout.splitlines()
    for clause in ("EV-01", "EV-07", "PK-04", "waivers"):
        assert f"sage-plugin {MUTANT}::{clause}" in listed
    chosen = run_pytest(tmp_path, "--collect-only", "-q", "--sage-plugin", MUTANT, "-k", "EV-03")
    assert "1/" in chosen.stdout


def test_a_plugin_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, "--sage-plugin", "no-such-plugin")
    assert done.returncode == 4
    assert "no conformance subject or driver is called 'no-such-plugin'" in done.stdout + done.stderr


@pytest.mark.slow
def test_a_broken_clause_fails_alone_and_with_its_story(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, "--sage-plugin", MUTANT, "-k", "EV-02 or EV-03", "--sage-mode", "certify")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed, 1 passed" in done.stdout
    assert "EV-02 (MUST) violated" in done.stdout
    assert "    > " in done.stdout
    assert "Traceback" not in done.stdout
