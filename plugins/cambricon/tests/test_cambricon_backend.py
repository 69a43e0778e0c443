"""The recipe, its refusals, chips.json, the errors and the runtime on a stand-in for torch and torch_mlu."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from sage_infer_cambricon.chips import CHIPS
from sage_infer_cambricon.constraints import CONSTRAINTS
from sage_infer_cambricon.errors import ERRORS
from sage_infer_cambricon.recipe import PLAN, RECIPE
from sage_infer_contracts.errors import CapacityExceeded, DeviceUnavailable
from sage_infer_contracts.kv import KVSchemaRequest
from sage_infer_contracts.launch import BackendRecipe

VLLM = {"engine": "vllm"}


def refusing(settings: dict[str, str], chip: str | None) -> list[str]:
    return [one.setting for one in PLAN.refusals if one.holds_for(settings, chip)]


@pytest.mark.parametrize(
    ("settings", "chip", "setting"),
    [
        (
            {**VLLM, "enable_chunked_prefill": "true", "model.attention": "mla"},
            "MLU590-M9",
            "enable_chunked_prefill",
        ),
        (
            {**VLLM, "backend.chunked_prefill": "true", "model.attention": "mla"},
            None,
            "backend.chunked_prefill",
        ),
        ({**VLLM, "quantization": "fp8"}, "MLU370-X8", "quantization"),
        ({**VLLM, "model.weights": "fp8"}, "MLU370-X4", "model.weights"),
        ({"kv_schema.dtype": "fp8_e4m3"}, "MLU370-X8", "kv_schema.dtype"),
        ({**VLLM, "kv_schema.dtype": "fp8_e4m3"}, "MLU590-M9", "kv_schema.dtype"),
        ({**VLLM, "kv_schema.dtype": "fp8_e5m2"}, "MLU690", "kv_schema.dtype"),
        ({"dtype": "bf16"}, "MLU370-X8", "dtype"),
        ({**VLLM, "model.dtype": "bf16"}, "MLU370-X4", "model.dtype"),
        ({**VLLM, "dtype": "fp32"}, "MLU590-M9", "dtype"),
        ({**VLLM}, "MLU270", "engine"),
        ({**VLLM, "quantization": "bitsandbytes"}, "MLU590-M9", "quantization"),
        ({**VLLM, "kv_connector": "NixlConnector"}, "MLU590-M9", "kv_connector"),
        ({**VLLM, "kv_connector": "LMCacheConnectorV1", "model.type": "llama"}, "MLU590-M9", "model.type"),
        ({**VLLM, "backend.embedding": "true"}, "MLU590-M9", "backend.embedding"),
    ],
)
def test_what_cannot_run_is_started(settings: dict[str, str], chip: str | None, setting: str) -> None:
    assert setting in refusing(settings, chip)


@pytest.mark.parametrize(
    ("settings", "chip"),
    [
        ({**VLLM, "enable_chunked_prefill": "true", "model.attention": "gqa"}, "MLU590-M9"),
        ({**VLLM, "enable_chunked_prefill": "false", "model.attention": "mla"}, "MLU590-M9"),
        ({**VLLM, "quantization": "awq", "dtype": "bf16", "kv_schema.page_size": "16"}, "MLU590-M9"),
        ({**VLLM, "dtype": "fp16", "kv_schema.dtype": "int8", "kv_schema.page_size": "1"}, "MLU370-X8"),
        ({"engine": "torch", "dtype": "fp32", "kv_schema.dtype": "fp32"}, "MLU370-X4"),
        ({"engine": "torch", "model.dtype": "bf16"}, "MLU370-X4"),
        ({"engine": "torch"}, "MLU270"),
        ({**VLLM, "kv_connector": "LMCacheConnectorV1", "model.type": "deepseek_v3"}, "MLU590-M9"),
        (VLLM, None),
    ],
)
def test_what_can_run_is_refused(settings: dict[str, str], chip: str | None) -> None:
    assert refusing(settings, chip) == []


def test_a_refusal_gives_no_reason_or_no_way_out() -> None:
    for refusal in PLAN.refusals:
        assert refusal.reason
        assert refusal.alternative
        assert set(refusal.chips) <= {chip.name for chip in CHIPS.chips}


def test_the_recipe_cannot_be_found_or_read_back() -> None:
    (found,) = [one for one in entry_points(group="sage_infer.backend.v1") if one.name == "cambricon"]
    assert found.load() == RECIPE
    assert BackendRecipe.model_validate_json(RECIPE.model_dump_json()) == RECIPE
    assert (PLAN.device_type, PLAN.platform_plugin) == ("mlu", "vllm.platform_plugins:mlu")
    assert RECIPE.transport is not None
    assert (RECIPE.transport.mooncake_protocol, RECIPE.transport.mooncake_build_flag) == ("rdma", "USE_MLU")


def test_kv_blocks_of_any_kind_are_allowed() -> None:
    vllm = CONSTRAINTS[0]
    assert vllm.mismatches(KVSchemaRequest(dtype="bf16", page_size=1)) == []
    assert vllm.mismatches(KVSchemaRequest(dtype="fp8_e5m2")) != []
    assert vllm.layouts is not None
    assert vllm.layouts[0].axes == ("kv", "block", "head", "token", "dim")


def test_a_number_of_a_chip_has_no_source() -> None:
    names = [chip.name for chip in CHIPS.chips]
    assert len(set(names)) == len(names)
    for chip in CHIPS.chips:
        for figure in chip.figures.values():
            assert figure.source not in ("", "unknown")
    for said, name in (
        ("MLU370-X8", "MLU370-X8"),
        ("mlu370-x4k", "MLU370-X4K"),
        ("MLU370-M83U", "MLU370-M8"),
        ("MLU370-EVBS", "MLU370"),
        ("MLU590-M9DE", "MLU590-M9D"),
        ("MLU590-M9U", "MLU590"),
        ("mlu-270 F4", "MLU270"),
        ("MLU220-M2", "MLU220"),
        ("MLU580-X1K", "MLU580"),
        ("MLU590-M9DG", "MLU590-M9DG"),
    ):
        found = CHIPS.find(said)
        assert found is not None
        assert found.name == name
    for said in ("MLU690-X8", "MLUXXX-XX", "CE3226", "H100", None):
        assert CHIPS.find(said) is None
    assert CHIPS.find("MLU370-X8").dies == 2  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("MLU out of memory. Tried to allocate 20.00 GiB (MLU 0; 23.00 GiB total capacity)", "out_of_memory"),
        ("CNRT error: invalid argument.", "unknown"),
        ("CNRT error: failed to call the driver-api function.", "driver"),
        ("Can't initialize CNDEV", "driver"),
        ("CNDEV_ERROR_NO_PERMISSION", "permission"),
        ("Card 3 is not existed!", "lost_device"),
        ("libmluops.so.1: cannot open shared object file: No such file or directory", "version_mismatch"),
        ("CN_INVOKE_ERROR_EXECUTED_TIMEOUT", "timeout"),
        ("something else", "unknown"),
    ],
)
def test_a_message_is_another_kind_of_error(message: str, kind: str) -> None:
    assert ERRORS.kind(message) == kind
    error = ERRORS.translate("allocating", RuntimeError(message))
    assert isinstance(error, CapacityExceeded if kind == "out_of_memory" else DeviceUnavailable)


FAKE_TORCH = """
bfloat16, float16, float32 = "bf16", "fp16", "fp32"
def device(kind, index): return f"{kind}:{index}"
"""
FAKE_TORCH_MLU = """
import os, sys, types, torch
order = [name for name in ("triton",) if name in sys.modules]
torch.mlu = types.SimpleNamespace(
    is_available=lambda: True, device_count=lambda: 2, is_bf16_supported=lambda: os.environ["BF16"] == "1",
    mem_get_info=lambda index: (10, 20), triton_was_first=bool(order),
)
"""
USE = """
import json
from sage_infer_cambricon.runtime import CambriconRuntime
import sys
before = [name for name in ("torch", "torch_mlu", "triton") if name in sys.modules]
runtime = CambriconRuntime()
try:
    runtime.prepare()
    memory = runtime.memory_info(0)
    said = [runtime.dtypes(), runtime.device_count(), runtime.device(1), memory.total_bytes,
            sys.modules["torch"].mlu.triton_was_first]
except Exception as error:
    said = [type(error).__name__, str(error), getattr(error, "reason", None)]
print(json.dumps([before, said]))
"""


def use_runtime(folder: Path, *, bf16: str, modules: dict[str, str]) -> list[object]:
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)
    result = subprocess.run(
        [sys.executable, "-c", USE],
        env={"PYTHONPATH": str(folder), "BF16": bf16, "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    before, said = json.loads(result.stdout)
    assert before == []
    return list(said)


def test_the_runtime_computes_in_what_the_chip_cannot(tmp_path: Path) -> None:
    modules = {"torch": FAKE_TORCH, "torch_mlu": FAKE_TORCH_MLU}
    assert use_runtime(tmp_path, bf16="1", modules=modules) == [
        ["bf16", "fp16", "fp32"],
        2,
        "mlu:1",
        20,
        False,
    ]
    assert use_runtime(tmp_path, bf16="0", modules=modules)[0] == ["fp16", "fp32"]


def test_a_missing_extension_is_not_named(tmp_path: Path) -> None:
    said = use_runtime(tmp_path, bf16="1", modules={"torch": FAKE_TORCH})
    assert said[0] == "DeviceUnavailable"
    assert "torch_mlu" in str(said[1])
    assert "Neuware" in str(said[1])
    assert said[2] == "no_torch_mlu"


def test_loading_the_plugin_imports_a_framework() -> None:
    code = (
        "import sys, sage_infer_cambricon.plugin, sage_infer_cambricon.recipe, sage_infer_cambricon.runtime\n"
        "print([m for m in ('torch', 'torch_mlu', 'vllm', 'transformers') if m in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60).stdout
        == "[]\n"
    )
