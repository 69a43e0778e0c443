"""Each example runs as it is, on the real models."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.engine
EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
ARGUMENTS = {"quickstart.py": ["--once", "--port", "0"]}
SAYS = {"quickstart.py": "Paris", "phase0_demo.py": "Paris"}


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_runs_and_answers(example: Path) -> None:
    command = [sys.executable, str(example), *ARGUMENTS.get(example.name, [])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert SAYS[example.name] in done.stdout
