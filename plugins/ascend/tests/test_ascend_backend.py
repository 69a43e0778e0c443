"""The backend as data: what is refused, on which chip, with which way out; errors by kind; the runtime bare."""

from __future__ import annotations

import sys
import types
from importlib.machinery import ModuleSpec

import pytest

from sage_infer_ascend.chips import CHIPS, chip_of
from sage_infer_ascend.constraints import A2_AND_A3, A5, CONSTRAINTS, ON_310P, WITHOUT_VLLM
from sage_infer_ascend.errors import ERRORS
from sage_infer_ascend.recipe import PLAN, RECIPE
from sage_infer_ascend.refusals import REFUSALS, WITHOUT_BF16, WITHOUT_FP8
from sage_infer_ascend.runtime import AscendRuntime
from sage_infer_ascend.transport import TRANSPORT
from sage_infer_contracts.engines.device_errors import ErrorKind
from sage_infer_contracts.errors import DeviceUnavailable
from sage_infer_contracts.launch import BackendRecipe

VLLM = {"engine": "vllm"}


def refused(settings: dict[str, str], chip: str | None) -> list[str]:
    return [one.setting for one in REFUSALS if one.holds_for(settings, chip)]


@pytest.mark.parametrize(
    ("settings", "chip", "setting"),
    [
        ({"kv_schema.page_size": "16"}, "910B3", "kv_schema.page_size"),
        ({"kv_schema.page_size": "64"}, "910B3", "kv_schema.page_size"),
        ({"kv_schema.page_size": "16"}, "310P3", "kv_schema.page_size"),
        ({"kv_schema.page_size": "16"}, None, "kv_schema.page_size"),
        ({"kv_schema.dtype": "fp8_e4m3"}, "910B1", "kv_schema.dtype"),
        ({"kv_schema.dtype": "bf16"}, "310P3", "kv_schema.dtype"),
        ({"dtype": "fp8_e4m3"}, "910C", "dtype"),
        ({"quantization": "fp8"}, "910B4-1", "quantization"),
        ({"model.weights": "fp8"}, "910B2", "model.weights"),
        ({"quantization": "awq"}, "910B3", "quantization"),
        ({"engine": "vllm"}, "910A", "engine"),
        ({"engine": "vllm"}, "310B", "engine"),
        ({"dtype": "bf16"}, "310P3", "dtype"),
        ({"model.dtype": "bf16"}, "910A", "model.dtype"),
    ],
)
def test_what_the_chip_cannot_do_is_started(settings: dict[str, str], chip: str | None, setting: str) -> None:
    assert setting in refused({**VLLM, **settings}, chip)


@pytest.mark.parametrize(
    ("settings", "chip"),
    [
        ({"kv_schema.page_size": "128"}, "910B3"),
        ({"kv_schema.page_size": "64"}, "310P3"),
        ({"kv_schema.page_size": "128"}, None),
        ({"kv_schema.dtype": "bf16"}, "910B3"),
        ({"kv_schema.dtype": "fp8_e4m3"}, "950PR"),
        ({"quantization": "fp8"}, "950DT"),
        ({"quantization": "ascend"}, "910B3"),
        ({"dtype": "bf16"}, "910C"),
    ],
)
def test_what_the_chip_can_do_is_refused(settings: dict[str, str], chip: str | None) -> None:
    assert refused({**VLLM, **settings}, chip) == []


@pytest.mark.parametrize("chip", ["310", "310B", "310P3", "910A", "910B3", "910C", "950PR", None])
def test_what_only_vllm_cannot_do_is_refused_to_the_native_engine(chip: str | None) -> None:
    asked = {"engine": "torch", "dtype": "fp16", "kv_schema.page_size": "16", "kv_schema.dtype": "fp32"}
    assert refused({**asked, "quantization": "awq"}, chip) == []


@pytest.mark.parametrize("engine", ["torch", "vllm"])
def test_what_the_chip_has_no_units_for_is_left_to_an_engine(engine: str) -> None:
    assert "kv_schema.dtype" in refused({"engine": engine, "kv_schema.dtype": "bf16"}, "310P3")
    assert refused({"engine": engine, "dtype": "fp8_e4m3"}, "910B3") == ["dtype"]


def test_a_refusal_has_no_way_out_or_names_a_chip_that_is_none() -> None:
    names = {one.name for one in CHIPS.chips}
    assert all(one.reason and one.alternative and one.source for one in REFUSALS)
    assert {chip for one in REFUSALS for chip in one.chips} <= names
    assert {*A2_AND_A3, *A5, *ON_310P, *WITHOUT_VLLM} == names >= {*WITHOUT_BF16}
    assert {*WITHOUT_FP8} == names - {*A5}
    assert {chip for one in CONSTRAINTS for chip in one.chips} == names - set(WITHOUT_VLLM)


def test_the_recipe_is_no_data() -> None:
    assert BackendRecipe.model_validate_json(RECIPE.model_dump_json()) == RECIPE
    assert (RECIPE.engines, RECIPE.device_runtime, RECIPE.hardware) == (("vllm", "torch"), "ascend", "ascend")
    assert (PLAN.device_type, PLAN.platform_plugin) == ("npu", "vllm.platform_plugins:ascend")
    assert PLAN.arguments["block_size"] == 128
    assert (TRANSPORT.mooncake_protocol, TRANSPORT.collective_backend) == ("ascend", "hccl")
    assert CONSTRAINTS[0].layouts is not None
    assert CONSTRAINTS[0].layouts[0].packing == "ascend-nz16"


@pytest.mark.parametrize(
    ("name", "soc", "pci", "chip"),
    [
        ("910B3", None, None, "910B3"),
        ("Ascend 910B4-1", None, None, "910B4-1"),
        ("Ascend910", "ascend910_9392", None, "910C"),
        ("Ascend950PR", "ascend950pr_9579", None, "950PR"),
        ("xxx", None, "d801", "910A"),
        ("xxx", "ascend910b2", None, "910B2"),
        ("910A", None, None, "910A"),
        ("910ProB", None, None, "910A"),
        ("310P7", None, None, "310P"),
        ("Ascend310P3vir04", None, None, "310P3"),
        ("310B4", None, None, "310B"),
        ("310B", None, None, "310B"),
        ("910B2C", None, None, "910B2C"),
        ("910B", None, None, None),
        ("xxx", None, "d802", None),
        (None, None, None, None),
    ],
)
def test_a_chip_is_taken_for_another(
    name: str | None, soc: str | None, pci: str | None, chip: str | None
) -> None:
    found = chip_of(name, soc, pci)
    assert (found.name if found else None) == chip


MESSAGES: tuple[tuple[str, ErrorKind], ...] = (
    ("dcmi module initialize failed. ret is -8005", "driver"),
    ("DrvMngGetConsoleLogLevel failed. (ret=4)", "driver"),
    ("dcmi model initialized failed", "driver"),
    ("dcmi model initialized failed, because the device is used. ret is -8020", "permission"),
    ("aclInit(nullptr) ... error code is 507899", "permission"),
    ("get platform info failed, drvErr=87.", "permission"),
    ("Built for SOC version ASCEND910B1, but need running on default ASCEND310P3.", "version_mismatch"),
    ("Device[1] lost heartbeat.", "lost_device"),
    ("wait for compute device to finish failed, runtime result = 507010.", "lost_device"),
    ("EL0001: Device not found or invalid.", "lost_device"),
    ("ImportError: libascend_hal.so: cannot open shared object file: No such file or directory", "driver"),
    (
        "npu-smi: error while loading shared libraries: libdrvdsmi_host.so: cannot open shared object file",
        "driver",
    ),
    ("NPU out of memory. Tried to allocate 260.00 MiB (NPU 0; 28.50 GiB total capacity)", "out_of_memory"),
    ("EI0006: Getting socket times out. Reason: 1. The remote does not initiate", "timeout"),
    ("NPU function error: aclrtSynchronizeDevice, error code is 507046", "timeout"),
    ("open /dev/davinci_manager: Permission denied", "permission"),
    ("something else", "unknown"),
)


@pytest.mark.parametrize(("message", "kind"), MESSAGES)
def test_a_message_is_sorted_wrongly(message: str, kind: ErrorKind) -> None:
    assert ERRORS.kind(message) == kind


def test_a_runtime_without_its_extension_does_not_say_what_to_install() -> None:
    runtime = AscendRuntime()
    assert (runtime.name, runtime.dtypes()) == ("ascend", ("bf16", "fp16", "fp32"))
    with pytest.raises(DeviceUnavailable, match=r"sage-infer-ascend\[runtime\]"):
        runtime.prepare()


@pytest.mark.parametrize(
    ("name", "dtypes"),
    [
        ("Ascend910B3", ("bf16", "fp16", "fp32")),
        ("Ascend910_9392", ("bf16", "fp16", "fp32")),
        ("Ascend310P3", ("fp16", "fp32")),
        ("Ascend910A", ("fp16", "fp32")),
    ],
)
def test_a_chip_without_bf16_is_said_to_have_it(
    name: str, dtypes: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runtime over stand-ins for torch and torch_npu: no chip is needed to see which dtypes it takes."""
    npu = types.SimpleNamespace(
        is_available=lambda: True, device_count=lambda: 1, get_device_name=lambda index: name
    )
    for module, facts in {"torch": {"npu": npu}, "torch_npu": {}}.items():
        stand_in = types.ModuleType(module)
        stand_in.__spec__ = ModuleSpec(module, None)
        stand_in.__dict__.update(facts)
        monkeypatch.setitem(sys.modules, module, stand_in)
    runtime = AscendRuntime()
    runtime.prepare()
    assert runtime.dtypes() == dtypes
    assert runtime.device_count() == 1
