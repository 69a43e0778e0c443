"""chips.json, the recipe with its refusals, the table of errors, and the runtime on stand-ins for torch."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
from importlib.resources import files
from pathlib import Path

import pytest

from sage_infer_contracts.detecting.chips import UNITS
from sage_infer_contracts.membership import missing_members
from sage_infer_contracts.runtime import DeviceRuntime
from sage_infer_cuda.chips import CHIPS
from sage_infer_cuda.errors import ERRORS, said_in
from sage_infer_cuda.parsing.fields import dtypes_of
from sage_infer_cuda.recipe import PLAN, RECIPE
from sage_infer_cuda.runtime import CudaRuntime


def test_a_number_has_no_source() -> None:
    for chip in CHIPS.chips:
        for name, figure in chip.figures.items():
            assert name in UNITS
            assert figure.source
            assert figure.value is not None or figure.confidence == "low"


def test_int8_is_not_twice_fp16() -> None:
    """Tensor cores have had twice the rate for int8 (and fp8) since Ampere, which data sheets round."""
    for chip in CHIPS.chips:
        values = {name: figure.value for name, figure in chip.figures.items() if figure.value is not None}
        if {"fp16", "int8"} <= set(values):
            assert values["int8"] == pytest.approx(2 * values["fp16"], rel=0.02), chip.name
        if {"fp8", "int8"} <= set(values):
            assert values["fp8"] == values["int8"]


def test_dtypes_do_not_follow_from_the_compute_capability() -> None:
    for chip in CHIPS.chips:
        found = re.match(r"compute capability ([0-9.]+)\.", chip.notes)
        assert found, chip.name
        assert chip.dtypes == dtypes_of(found[1])


@pytest.mark.parametrize(
    ("reported", "chip"),
    [
        ("NVIDIA H200", "H200-SXM"), ("NVIDIA H100 80GB HBM3", "H100-SXM5-80GB"),
        ("NVIDIA H100 PCIe", "H100-PCIE-80GB"), ("NVIDIA A100-SXM4-80GB", "A100-SXM4-80GB"),
        ("NVIDIA A100 80GB PCIe", "A100-PCIE-80GB"), ("A100-PCIE-40GB", "A100-PCIE-40GB"), ("NVIDIA A10", "A10"),
        ("NVIDIA A10G", "A10G"), ("NVIDIA L40S", "L40S"), ("NVIDIA L40", "L40"), ("NVIDIA L4", "L4"),
        ("Tesla V100-PCIE-32GB", "V100"), ("Tesla T4", "T4"), ("NVIDIA GeForce RTX 4090", "GeForce RTX 4090"),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None), ("NVIDIA H200 NVL", "H200-NVL"),
        ("NVIDIA GH200 480GB", "GH200-480GB"), ("NVIDIA GH200 144G HBM3e", None), ("Orin (nvgpu)", "Orin"),
        ("NVIDIA A10-6Q", None), ("NVIDIA A100X", None),
    ],
)  # fmt: skip
def test_a_name_is_taken_for_another_chip(reported: str, chip: str | None) -> None:
    found = CHIPS.find(reported)
    assert (found.name if found else None) == chip


@pytest.mark.parametrize(
    ("settings", "chip", "refused"),
    [
        ({"dtype": "bf16"}, "V100", True), ({"dtype": "bf16"}, "A10", False), ({"dtype": "fp16"}, "V100", False),
        ({"dtype": "fp8_e4m3"}, "A100-SXM4-80GB", True), ({"dtype": "fp8_e4m3"}, "L40S", False),
        ({"kv_schema.dtype": "fp8_e4m3"}, "A10G", True), ({"kv_schema.dtype": "fp8_e4m3"}, "H200-SXM", False),
        ({"engine": "vllm"}, "P100", True), ({"engine": "torch"}, "P100", False), ({"engine": "vllm"}, "T4", False),
        ({"engine": "vllm", "kv_schema.page_size": "24"}, "H200-SXM", True),
        ({"engine": "vllm", "kv_schema.page_size": "16"}, "H200-SXM", False),
        ({"engine": "torch", "kv_schema.page_size": "24"}, "H200-SXM", False),
        ({"dtype": "bf16"}, None, False), ({"dtype": "bf16"}, "Orin", False), ({"dtype": "fp8_e4m3"}, "Orin", True),
        ({"dtype": "bf16"}, "GeForce RTX 2080 Ti", True), ({"dtype": "fp8_e4m3"}, "GB200", False),
    ],
)  # fmt: skip
def test_what_a_chip_cannot_do_is_launched(settings: dict[str, str], chip: str | None, refused: bool) -> None:
    held = [one for one in PLAN.refusals if one.holds_for(settings, chip)]
    assert bool(held) is refused
    assert all(one.reason and one.alternative for one in held)


def test_the_recipe_names_what_is_not_there() -> None:
    assert (RECIPE.engines, RECIPE.device_runtime, RECIPE.hardware) == (("vllm", "torch"), "cuda", "cuda")
    assert RECIPE.transport is not None
    assert RECIPE.transport.collective == "NCCL"
    names = {chip.name for chip in CHIPS.chips}
    assert all(set(one.chips) <= names for one in PLAN.refusals)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.", "driver"),
        ("Failed to initialize NVML: Driver/library version mismatch", "version_mismatch"),
        ("Failed to initialize NVML: Insufficient Permissions", "permission"),
        ("Unable to determine the device handle for GPU0000:19:00.0: Unknown Error", "lost_device"),
        ("NVRM: Xid (PCI:0000:06:00): 79, pid=1, GPU has fallen off the bus.", "lost_device"),
        (
            "RuntimeError: The NVIDIA driver on your system is too old (found version 12080).",
            "version_mismatch",
        ),
        (
            "RuntimeError: CUDA error: no kernel image is available for execution on the device",
            "version_mismatch",
        ),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.", "out_of_memory"),
        (
            "RuntimeError: Unexpected error from cudaGetDeviceCount(). Error 802: system not yet initialized",
            "driver",
        ),
        ("torch.AcceleratorError: CUDA error: uncorrectable ECC error encountered", "lost_device"),
        ("[rank3] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=1)", "timeout"),
        ("AssertionError: Torch not compiled with CUDA enabled", "version_mismatch"),
        ("something else altogether", "unknown"),
    ],
)
def test_a_message_is_of_another_kind(message: str, kind: str) -> None:
    assert ERRORS.kind(message) == kind


def test_what_a_tool_prints_of_processes_is_its_failure() -> None:
    assert said_in("|    0   N/A  N/A   2165   C   /opt/GPU is lost/No devices were found |\n") == ()
    assert said_in("No devices were found\n") == ("No devices were found",)


STUB = """
    import sys, types
    torch = types.ModuleType("torch")
    torch.__version__ = {version!r}
    torch.version = types.SimpleNamespace(hip={hip!r}, cuda="13.0")
    devices = {devices!r}
    torch.cuda = types.SimpleNamespace(
        is_available=lambda: bool(devices), device_count=lambda: len(devices),
        get_device_name=lambda index: devices[index][0], get_device_capability=lambda index: devices[index][1],
        mem_get_info=lambda index: (1, 2),
    )
    sys.modules["torch"] = torch
    torch.__spec__ = types.SimpleNamespace()
    from sage_infer_cuda.runtime import CudaRuntime
    runtime = CudaRuntime()
    try:
        runtime.prepare()
        print("ready", *runtime.dtypes())
    except Exception as error:
        print(type(error).__name__, getattr(error, "reason", ""), error)
"""


def prepared(
    version: str = "2.11.0+cu130", hip: str | None = None, *devices: tuple[str, tuple[int, int]]
) -> str:
    script = textwrap.dedent(STUB).format(version=version, hip=hip, devices=devices)
    command = [sys.executable, "-c", script]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.strip()


def test_a_runtime_lacks_a_member_of_the_protocol() -> None:
    assert missing_members(CudaRuntime(), DeviceRuntime) == []


def test_the_least_gpu_does_not_decide_the_dtypes() -> None:
    assert (
        prepared("2.11.0+cu130", None, ("NVIDIA H200", (9, 0)))
        == "ready bf16 fp16 fp32 fp8_e4m3 fp8_e5m2 int8"
    )
    two = prepared("2.11.0+cu130", None, ("NVIDIA H200", (9, 0)), ("Tesla V100-PCIE-32GB", (7, 0)))
    assert two == "ready fp16 fp32 int8"


@pytest.mark.parametrize(
    ("version", "hip", "device"),
    [
        ("2.7.1+das.opt1.dtk2604", "6.1", "BW200"), ("2.9.0+rocm6.4", "6.4", "AMD Instinct MI300X"),
        ("2.6.0+metax3.0", None, "MXC500"), ("2.4.1+corex.4.3", None, "Iluvatar BI-V150"), ("2.5.1", None, "GPU"),
    ],
)  # fmt: skip
def test_anothers_device_under_torch_cuda_is_prepared(version: str, hip: str | None, device: str) -> None:
    assert prepared(version, hip, (device, (8, 6))).startswith("DeviceUnavailable another_vendor")


def test_no_device_is_ready() -> None:
    assert prepared().startswith("DeviceUnavailable no_device")


def test_listing_the_plugin_imports_a_framework() -> None:
    script = (
        "import sys, sage_infer_cuda.plugin, sage_infer_cuda.recipe, sage_infer_cuda.runtime\n"
        "import sage_infer_cuda.conformance\n"
        "print([name for name in ('torch', 'vllm', 'pynvml', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_list_of_chips_is_no_json(tmp_path: Path) -> None:
    assert json.loads((files("sage_infer_cuda") / "chips.json").read_text(encoding="utf-8"))["chips"]
