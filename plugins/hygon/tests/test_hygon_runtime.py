"""The device runtime on stand-ins for torch, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

TORCH = """
    import types
    __version__ = {version!r}
    version = types.SimpleNamespace(hip={hip!r}, cuda=None)
    float16, bfloat16, float32 = "float16", "bfloat16", "float32"
    cuda = types.SimpleNamespace(
        is_available=lambda: True,
        device_count=lambda: {count},
        get_device_name=lambda index: {name!r},
        get_device_properties=lambda index: types.SimpleNamespace(gcnArchName={architecture!r}),
        mem_get_info=lambda index: (68000000000, 68702699520),
    )
    def device(kind, index):
        return f"{{kind}}:{{index}}"
"""
ASK = """
    from sage_infer_contracts.errors import DeviceUnavailable
    from sage_infer_hygon.runtime import HygonRuntime
    import sys
    runtime = HygonRuntime()
    assert "torch" not in sys.modules
    try:
        runtime.prepare()
    except DeviceUnavailable as error:
        print(error.reason, "|", error)
    else:
        print("ready", runtime.device(1), runtime.memory_info(1).total_bytes, *runtime.dtypes())
"""
DTK = "2.9.0+das.opt1.dtk2604.2604281634.ged188f"


def prepared(
    folder: Path,
    *,
    version: str = DTK,
    hip: str | None = "6.3.26113",
    name: str = "BW",
    architecture: str = "gfx936:sramecc+:xnack-",
    count: int = 2,
    torch: str | None = None,
) -> str:
    text = TORCH.format(version=version, hip=hip, name=name, architecture=architecture, count=count)
    (folder / "torch.py").write_text(textwrap.dedent(text) if torch is None else torch)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(ASK)],
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    "build",
    [
        {},
        {"name": "K100_AI", "architecture": "gfx928"},
        {"version": "2.9.0", "architecture": "gfx938"},
        {"version": "2.9.0", "name": "Hygon Z100", "architecture": "gfx906"},
    ],
)
def test_hygons_build_is_refused(build: dict[str, str], tmp_path: Path) -> None:
    assert prepared(tmp_path, **build) == "ready cuda:1 68702699520 bf16 fp16 fp32"


@pytest.mark.parametrize(
    "build",
    [
        {"hip": None, "version": "2.9.0+cu130", "name": "NVIDIA H100"},
        {"version": "2.9.0+rocm6.4", "name": "AMD Instinct MI300X", "architecture": "gfx942:sramecc+:xnack-"},
        {"version": "2.9.0+rocm6.4", "name": "AMD Radeon VII", "architecture": "gfx906"},
    ],
)
def test_anothers_build_is_taken(build: dict[str, str], tmp_path: Path) -> None:
    assert prepared(tmp_path, **build).startswith("another_vendor | hygon: ")


def test_no_device_and_a_broken_build_are_not_told_apart(tmp_path: Path) -> None:
    assert prepared(tmp_path, count=0).startswith("no_device | ")
    broken = (
        'raise ImportError("libgalaxyhip.so.5: cannot open shared object file: No such file or directory")'
    )
    said = prepared(tmp_path, torch=broken)
    assert said.startswith("driver | ")
    assert "source /opt/dtk/env.sh" in said
