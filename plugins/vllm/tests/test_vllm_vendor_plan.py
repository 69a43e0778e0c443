"""A vendor's package brings a chip to vLLM with a recipe and a platform plugin, and imports neither engine nor adapter.

The chip is a CPU under another name: the path is the real one, from the package's entry points to vLLM's processes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = pytest.mark.engine

RECIPE = """
    import os
    from sage_infer_contracts.launch import BackendRecipe, EngineLaunchPlan, VersionWindow

    PLAN = EngineLaunchPlan(
        hardware="acme-x1",
        device_type=os.environ.get("TEST_DEVICE_TYPE", "acme"),
        environment={"ACME_HEAP_MB": "512", "VLLM_CPU_OMP_THREADS_BIND": "0"},
        arguments={"enforce_eager": True, "max_model_len": 512, "max_num_seqs": 2, "dtype": "float32",
                   "kv_cache_memory_bytes": 200_000_000},
        platform_plugin="vllm.platform_plugins:acme",
        plugin_allowlist=("acme",),
        versions=(VersionWindow(distribution="vllm-acme", minimum="1.0", below="2"),),
        install_hint="pip install vllm-acme",
    )
    RECIPE = BackendRecipe(name="acme-x1", hardware="acme-x1", engines=("vllm",), launch_plan=PLAN)
"""
PLATFORM = """
    def register():
        return "vllm_acme.chip.AcmePlatform"

    def other():
        raise SystemExit("a plugin that the plan does not allow was loaded")
"""
CHIP = """
    import os
    from vllm.platforms.cpu import CpuPlatform

    with open(os.environ["TEST_WITNESS"], "a") as witness:
        witness.write(f"{os.getpid()} {os.environ.get('ACME_HEAP_MB')}\\n")

    class AcmePlatform(CpuPlatform):
        device_type = "cpu"
        device_name = "acme"
"""


def install(folder: Path) -> None:
    """Lay out two installed distributions: the vendor's platform for vLLM, and the vendor's package for us."""
    files = {
        "vllm_acme/__init__.py": "",
        "vllm_acme/platform.py": PLATFORM,
        "vllm_acme/chip.py": CHIP,
        "vllm_acme-1.2.dist-info/METADATA": "Metadata-Version: 2.1\nName: vllm-acme\nVersion: 1.2\n",
        "vllm_acme-1.2.dist-info/entry_points.txt": "[vllm.platform_plugins]\nacme = vllm_acme.platform:register\n"
        "other = vllm_acme.platform:other\n",
        "sage_infer_acme.py": RECIPE,
        "sage_infer_acme-0.1.dist-info/METADATA": "Metadata-Version: 2.1\nName: sage-infer-acme\nVersion: 0.1\n"
        "Requires-Dist: sage-infer-contracts>=0.1.0\n",
        "sage_infer_acme-0.1.dist-info/entry_points.txt": "[sage_infer.backend.v1]\n"
        "acme-x1 = sage_infer_acme:RECIPE\n",
    }
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))


def run_backend_test(folder: Path, model_path: str, device_type: str) -> tuple[int, dict[str, object], str]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(folder),
        "TEST_WITNESS": str(folder / "witness"),
        "TEST_DEVICE_TYPE": device_type,
    }
    command = [
        sys.executable,
        "-m",
        "sage_infer",
        "backend",
        "test",
        "acme-x1",
        "--llm",
        model_path,
        "--json",
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400, check=False)
    return done.returncode, json.loads(done.stdout), done.stderr


def test_a_recipe_runs_vllm_on_the_vendors_platform(tmp_path: Path, model_path: str) -> None:
    install(tmp_path)
    code, said, log = run_backend_test(tmp_path, model_path, device_type="cpu")
    assert code == 0, (said, log[-3000:])
    checks = {check["check"]: check for check in said["checks"]}  # type: ignore[attr-defined]
    assert checks["capability"]["detail"] == "acme-x1, 512 tokens, 2 sequences"
    assert checks["prefill and decode"]["ok"] is True
    witnesses = [line.split() for line in (tmp_path / "witness").read_text().splitlines()]
    assert {heap for _, heap in witnesses} == {"512"}
    assert len({pid for pid, _ in witnesses}) >= 3, (
        "the worker, the engine and its worker all loaded the platform"
    )


def test_a_platform_that_turns_out_to_be_another_is_refused(tmp_path: Path, model_path: str) -> None:
    install(tmp_path)
    code, said, _ = run_backend_test(tmp_path, model_path, device_type="xpu9")
    (start,) = said["checks"]  # type: ignore[misc]
    assert code == 1
    assert "device 'xpu9' was asked for, and the installed vLLM runs on 'cpu'" in start["detail"]  # type: ignore[index]
