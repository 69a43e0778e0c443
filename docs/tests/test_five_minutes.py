"""The researcher's guide, done by a new user: a fresh environment, the guide's own commands, and a certificate."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from markdown_blocks import ROOT, blocks

from sage_infer_contracts.certification import Certificate

pytestmark = pytest.mark.slow
STACK = ("contracts", "core", "conformance")
FIVE_MINUTES_S = 300.0


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A virtual environment into which the stack was installed, as the install page says."""
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True, timeout=120)
    commands = tmp_path / "venv" / "bin"
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "COV_CORE_SOURCE", "COVERAGE_PROCESS_START")
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    found = {**kept, "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"}
    folders = [str(ROOT / folder) for folder in STACK]
    subprocess.run([str(commands / "pip"), "install", "-q", *folders], env=found, check=True, timeout=600)
    return found


def test_a_new_user_has_a_certified_policy_in_five_minutes(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    guide = ROOT / "docs" / "guide" / "researcher.md"
    first = next(block for block in blocks("docs") if block.page == guide and "conformance run" in block.code)
    began = time.monotonic()
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-s"],
        input=first.code,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        timeout=2 * FIVE_MINUTES_S,
        check=False,
    )
    seconds = time.monotonic() - began
    print(f"{seconds:.0f} s from the first command to the certificate")
    assert done.returncode == 0, done.stdout + done.stderr
    certificate = Certificate.model_validate_json((tmp_path / "report" / "certificate.json").read_text())
    verdicts = {result.clause: result.verdict for result in certificate.results}
    assert certificate.subject.distribution == "sage-infer-my-policy"
    assert all(verdicts[f"EV-0{number}"] == "held" for number in range(1, 8))
    assert all(verdicts[f"PK-0{number}"] == "held" for number in range(1, 8))
    assert seconds < FIVE_MINUTES_S, f"{seconds:.0f} s"
