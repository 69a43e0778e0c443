"""The commands and the example as a user types them, with vLLM as the backend."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.engine
EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "phase0_demo.py"
QUICK = (
    "--backend",
    "vllm",
    "--dtype",
    "fp32",
    "--option",
    "enforce_eager=true",
    "--max-sequence-length",
    "1024",
)


def run(*command: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, timeout=600, check=False
    )


def test_the_example_of_the_control_plane_runs_unchanged() -> None:
    """With vLLM as it comes, compiled graphs and all, which the session leaves out elsewhere."""
    compiled = {name: value for name, value in os.environ.items() if name != "TORCH_COMPILE_DISABLE"}
    done = run(str(EXAMPLE), "--backend", "vllm", "--dtype", "fp32", environment=compiled)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Paris" in done.stdout
    assert "vllm on cpu" in done.stdout


@pytest.mark.parametrize("isolation", ["process", "inline"])
def test_generate(isolation: str) -> None:
    question = "What is the capital of France?"
    command = ("generate", question, "--temperature", "0", "--isolation", isolation, *QUICK)
    done = run("-m", "sage_infer", *command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The capital of France is Paris." in done.stdout


def test_serve_refuses_a_kv_format_that_it_cannot_keep() -> None:
    done = run(
        "-m", "sage_infer", "serve", "--model", "demo", "--port", "0", "--kv-schema", "preset=int8", *QUICK
    )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr.splitlines()[-1]
    assert "kv" in done.stderr.splitlines()[-1].lower(), done.stderr[-2000:]
