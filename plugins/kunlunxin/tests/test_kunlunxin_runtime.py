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
    version = types.SimpleNamespace(hip={hip!r}, cuda="12.9")
    float16, bfloat16, float32 = "float16", "bfloat16", "float32"
    cuda = types.SimpleNamespace(
        is_available=lambda: True,
        device_count=lambda: 2,
        get_device_name=lambda index: {name!r},
        get_device_capability=lambda index=0: (8, 6),
        mem_get_info=lambda index: (103045660672, 103079215104),
    )
    def device(kind, index):
        return f"{{kind}}:{{index}}"
"""
ASK = """
    from sage_infer_contracts.errors import DeviceUnavailable
    from sage_infer_kunlunxin.runtime import KunlunxinRuntime
    import sys
    assert "torch" not in sys.modules
    runtime = KunlunxinRuntime()
    assert "torch" not in sys.modules
    try:
        runtime.prepare()
    except DeviceUnavailable as error:
        print(error.reason, "|", error)
    else:
        memory = runtime.memory_info(1)
        print("ready", runtime.device(1), runtime.device_count(), memory.total_bytes, *runtime.dtypes())
"""


def prepared(
    folder: Path, *, name: str = "GPU", hip: str | None = None, extension: bool = True, torch: bool = True
) -> str:
    if torch:
        (folder / "torch.py").write_text(textwrap.dedent(TORCH.format(name=name, hip=hip)))
    if extension:
        (folder / "torch_xmlir.py").write_text("")
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


def test_a_p800_under_torchs_cuda_is_not_used(tmp_path: Path) -> None:
    assert prepared(tmp_path) == "ready cuda:1 2 103079215104 fp16 bf16 fp32"


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"extension": False}, "no_torch_xmlir"),
        ({"hip": "6.3"}, "another_vendor"),
        ({"name": "NVIDIA A100-SXM4-80GB"}, "another_vendor"),
    ],
)
def test_another_vendors_chip_is_taken_for_kunlunxins(
    facts: dict[str, str], reason: str, tmp_path: Path
) -> None:
    said, _, message = prepared(tmp_path, **facts).partition(" | ")  # type: ignore[arg-type]
    assert said == reason
    assert "xpytorch" in message
