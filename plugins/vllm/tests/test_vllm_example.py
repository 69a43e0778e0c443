"""The example of the control plane runs unchanged on this engine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.engine
EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "phase0_demo.py"


def test_the_example_answers_with_vllm() -> None:
    command = [sys.executable, str(EXAMPLE), "--backend", "vllm"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Paris" in done.stdout
    assert "vllm on cpu" in done.stdout
