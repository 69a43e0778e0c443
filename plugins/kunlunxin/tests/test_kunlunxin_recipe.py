"""The backend as data: refused before anything starts, with the reason and the alternative."""

from __future__ import annotations

import json
from importlib.metadata import entry_points
from importlib.resources import files

import pytest

from sage_infer_contracts.constraints import TransportChoice
from sage_infer_contracts.devices import AcceleratorDescriptor, DeviceIds, HardwareProfile
from sage_infer_contracts.launch import BackendRecipe
from sage_infer_kunlunxin.chips import CHIPS
from sage_infer_kunlunxin.constraints import CONSTRAINTS
from sage_infer_kunlunxin.errors import ERRORS
from sage_infer_kunlunxin.plugin import sage_infer_propose_backend
from sage_infer_kunlunxin.recipe import PLAN, RECIPE
from sage_infer_kunlunxin.transport import TRANSPORT

VLLM = {"engine": "vllm"}


def refused(settings: dict[str, str], chip: str | None = "P800") -> list[str]:
    return [refusal.setting for refusal in PLAN.refusals if refusal.holds_for(settings, chip)]


@pytest.mark.parametrize(
    ("settings", "setting"),
    [
        ({"quantization": "fp8"}, "quantization"),
        ({"model.weights": "fp8"}, "model.weights"),
        ({"dtype": "fp8_e4m3"}, "dtype"),
        ({"dtype": "int8"}, "dtype"),
        ({**VLLM, "kv_schema.dtype": "fp8_e4m3"}, "kv_schema.dtype"),
        ({**VLLM, "backend.split_prefill": "true"}, "backend.split_prefill"),
        ({**VLLM, "backend.kv_export": "true"}, "backend.kv_export"),
        ({**VLLM, "kv_transfer_config": "{}"}, "kv_transfer_config"),
        ({**VLLM, "model.attention": "mla", "kv_schema.page_size": "16"}, "kv_schema.page_size"),
    ],
)
def test_what_p800_cannot_do_is_started(settings: dict[str, str], setting: str) -> None:
    assert refused(settings) == [setting]


@pytest.mark.parametrize(
    "settings",
    [
        VLLM,
        {**VLLM, "dtype": "fp16"},
        {**VLLM, "quantization": "awq"},
        {**VLLM, "model.weights": "int8", "quantization": "compressed-tensors"},
        {**VLLM, "kv_schema.page_size": "16"},
        {**VLLM, "kv_schema.page_size": "128", "model.attention": "gqa"},
        {**VLLM, "model.attention": "mla", "kv_schema.page_size": "64"},
        {"engine": "torch", "backend.split_prefill": "true"},
    ],
)
def test_what_p800_can_do_is_refused(settings: dict[str, str]) -> None:
    assert refused(settings) == []


@pytest.mark.parametrize("chip", ["R300", "R200", "R200-8F", "RG800", "R100", "R420", "K200", "K100"])
def test_vllm_is_started_on_an_older_chip(chip: str) -> None:
    assert refused(VLLM, chip) == ["engine"]
    assert refused({"engine": "torch"}, chip) == []
    assert refused(VLLM, None) == [], "an unknown chip is not known to be old"


def test_a_refusal_gives_no_reason_or_no_way_out() -> None:
    names = {chip.name for chip in CHIPS.chips}
    for refusal in PLAN.refusals:
        assert refusal.reason
        assert refusal.alternative
        assert refusal.source
        assert set(refusal.chips) <= names
        assert (refusal.value is None) or not refusal.allowed


def test_the_recipe_is_not_found_or_does_not_travel() -> None:
    (found,) = entry_points(group="sage_infer.backend.v1", name="kunlunxin")
    assert found.load() == RECIPE
    assert BackendRecipe.model_validate_json(RECIPE.model_dump_json()) == RECIPE
    assert (RECIPE.engines, RECIPE.device_runtime) == (("vllm", "torch"), "kunlunxin")
    assert PLAN.platform_plugin == "vllm.platform_plugins:kunlun"
    assert "kunlun" in PLAN.plugin_allowlist
    (window,) = PLAN.versions
    assert (window.distribution, window.minimum, window.below) == ("vllm-kunlun", "0.11.1", "0.16")


def test_kv_can_be_swapped_or_goes_by_mooncake() -> None:
    assert CONSTRAINTS[0].swap is False
    assert TRANSPORT.mooncake_protocol is TRANSPORT.mooncake_wheel is TRANSPORT.mooncake_build_flag is None
    rdma = TransportChoice(mooncake_protocol="rdma", source="another vendor")
    assert TRANSPORT.shared_with(TRANSPORT) == TRANSPORT.shared_with(rdma) == "tcp"
    assert (TRANSPORT.collective, TRANSPORT.collective_backend) == ("XCCL", "nccl")


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("XPU Error <-3>, Device memory not enough", "out_of_memory"),
        ("torch.OutOfMemoryError: CUDA out of memory.", "out_of_memory"),
        ("XPU Error <-19>, Uncorrectable ECC", "lost_device"),
        ("kl3ChannelCheckErrors failed, error set to 66250, status= 700", "lost_device"),
        ("[XPUW] kl3_wait_for_noc_idle() timeout, val= 00000007", "lost_device"),
        ("wait for noc idle timeout", "lost_device"),
        ("Kernel execution timed out", "timeout"),
        ("XPU runtime not properly inited", "driver"),
        ("[ERROR][XPURT] Initialize default context for dev -1 fail", "driver"),
        (
            "[WARN][XPURT][xpu_llwait:729] ioctl() fail, (713) Device abnormal due to previous error",
            "lost_device",
        ),
        ("libxpurt.so: cannot open shared object file", "driver"),
        ("Firmware version too old (<15), please update.", "version_mismatch"),
        ("Invalid XPU device", "lost_device"),
        ("open /dev/xpuctrl: Permission denied", "permission"),
        ("xpuml error: XPUML_ERROR_NO_PERMISSION", "permission"),
        ("KUNLUN driver is not loaded", "driver"),
        ("XPUML_ERROR_LIB_RM_VERSION_MISMATCH", "version_mismatch"),
        ("XPUML_ERROR_XPU_IS_LOST", "lost_device"),
        ("[XCCL][util.cpp:436] dev 0 addr_window not properly set", "driver"),
        (
            "cuda/src/api/apilaunch.cc:1064:cuapi_xpu_wait cuapi_xpu_wait() failed in x, status= 700",
            "lost_device",
        ),
        ("ValueError: head size 80", "unknown"),
    ],
)
def test_a_message_is_of_another_kind(message: str, kind: str) -> None:
    assert ERRORS.kind(message) == kind


def test_chips_have_numbers_without_a_source() -> None:
    raw = json.loads((files("sage_infer_kunlunxin") / "chips.json").read_text(encoding="utf-8"))
    assert [chip["name"] for chip in raw["chips"]] == [
        "P800", "R300", "R200", "R200-8F", "RG800", "R100", "R420", "K200", "K100",
    ]  # fmt: skip
    p800 = CHIPS.find("P800 PCIe")
    assert p800 is not None
    rates = ("fp16", "bf16", "int8", "memory_bandwidth", "interconnect_bandwidth")
    assert [p800.figures[name].value for name in rates] == [None] * 5
    assert [name for name, _ in p800.described()] == ["spec_compute_units", "spec_memory"]
    assert CHIPS.find("P800", None) is p800 is CHIPS.find(None, "3686") is CHIPS.find("Device 3688", "3688")
    assert CHIPS.find("P900") is CHIPS.find(None, "3684") is None, "K100 and K200 share an id"


def test_a_backend_is_proposed_for_what_cannot_compute() -> None:
    def profile(*health: str) -> HardwareProfile:
        devices = tuple(
            AcceleratorDescriptor(
                hardware_backend="kunlunxin", name="P800 OAM", health=state, ids=DeviceIds(logical=at)
            )
            for at, state in enumerate(health)
        )
        return HardwareProfile(accelerators=devices)

    assert sage_infer_propose_backend(HardwareProfile()) == []
    assert sage_infer_propose_backend(profile("failed")) == []
    (proposal,) = sage_infer_propose_backend(profile("ok", "failed", "unknown"))
    assert (proposal.name, proposal.reason) == ("kunlunxin", "2 devices: P800 OAM")
