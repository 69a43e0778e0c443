"""Recipes, what they refuse, figures of the chips, messages of the driver, and what goes with what."""

from __future__ import annotations

import pytest

from sage_infer_contracts.detecting.chips import UNITS
from sage_infer_contracts.kinds import may_claim
from sage_infer_contracts.launch import Refusal
from sage_infer_hygon.chips import CHIPS, chip_of
from sage_infer_hygon.constraints import WITHOUT_FP8
from sage_infer_hygon.errors import ERRORS
from sage_infer_hygon.recipe import PLUGIN_RECIPE, RECIPE
from sage_infer_hygon.refusals import REFUSALS
from sage_infer_hygon.software import Software, compatibility, dtk_version, mismatch

IDS = {
    "54b7": "Z100", "55b7": "Z100L", "62b7": "K100", "6210": "K100_AI", "6211": "K100_LC_E_AI", "6212": "K100_LC_AI",
    "6310": "BW200", "631a": "BW1000_H", "6320": "BW150", "6330": "BW500SM", "6360": "BW10", "6370": "BW100",
    "637a": "BW101", "51b7": "Z100SM", "6423": "BW1500B", "6430": "BW1100", "6431": "BW1000_LC", "6436": "BW3000B",
}  # fmt: skip


def refused(settings: dict[str, str], chip: str | None = None) -> list[Refusal]:
    return [one for one in REFUSALS if one.holds_for({"engine": "vllm", **settings}, chip)]


@pytest.mark.parametrize(("device", "name"), IDS.items())
def test_a_device_id_names_another_chip(device: str, name: str) -> None:
    spec = chip_of(device, "BW200, UBB BW1000")
    assert spec is not None
    assert spec.name == name, "the id decides, whatever the card calls itself"


def test_a_board_has_no_chip_and_a_stranger_has_one() -> None:
    board = chip_of(None, "BW200, UBB BW1000")
    assert board is not None
    assert board.name == "BW1000"
    assert chip_of("ffff", "K100_AI") is None
    assert chip_of(None, "Instinct MI210") is None


def test_figures_lack_sources_or_an_id_is_given_twice() -> None:
    for chip in CHIPS.chips:
        assert set(chip.figures) <= set(UNITS)
        for figure in chip.figures.values():
            assert figure.source
            assert figure.value is not None or figure.confidence == "low"
        assert all(name.startswith("spec_") for name, _ in chip.described())
    ids = [device for chip in CHIPS.chips for device in chip.pci_devices]
    assert len(ids) == len(set(ids))


def test_compatibility_names_chips_that_nobody_knows() -> None:
    names = {chip.name for chip in CHIPS.chips}
    table = compatibility()
    assert set(table.chips) <= names
    assert {*table.also, *(name for others in table.also.values() for name in others)} <= names
    assert mismatch("BW150", Software("6.3.8", "25.04")) is None, "others call the id BW1000"
    assert mismatch("BW10", Software("6.3.8", "25.04")) is not None
    assert [dtk_version(text) for text in ("DTK-26.04-rc4\n", "24.04.3", "dtk-25.04.1", "x", None)] == [
        "26.04", "24.04.3", "25.04.1", None, None,
    ]  # fmt: skip


@pytest.mark.parametrize("chip", WITHOUT_FP8)
@pytest.mark.parametrize(
    "settings",
    [{"dtype": "fp8_e4m3"}, {"quantization": "fp8"}, {"model.weights": "fp8"}, {"dtype": "fp8_e5m2"}],
)
def test_fp8_is_let_through(chip: str, settings: dict[str, str]) -> None:
    (one,) = refused(settings, chip)
    assert "gfx938" in one.reason
    assert "INT8" in one.alternative
    assert refused(settings, "BW1100") == []
    assert refused(settings, "BW3000B") == [], "nobody says which architecture it is"


def test_methods_without_kernels_are_let_through() -> None:
    for method in ("bitsandbytes", "mxfp4"):
        assert refused({"quantization": method})
    assert refused({"model.weights": "fp4"})
    for method in ("awq", "gptq", "compressed-tensors", "slimquant_w4a8"):
        assert not refused({"quantization": method}, "K100_AI")


def test_attention_of_other_chips_is_let_through() -> None:
    (one,) = refused({"attention_backend": "FLASH_ATTN_CUSTOM"}, "K100_AI")
    assert one.alternative == "attention_backend=TRITON_ATTN"
    assert not refused({"attention_backend": "FLASH_ATTN_CUSTOM"}, "BW1100")
    assert refused({"decode_context_parallel_size": "2", "cudagraph_mode": "FULL"})
    assert not refused({"decode_context_parallel_size": "1", "cudagraph_mode": "FULL"})


def test_every_refusal_says_why_and_what_to_do() -> None:
    known = {chip.name for chip in CHIPS.chips}
    for one in REFUSALS:
        assert one.reason
        assert one.alternative
        assert one.source
        assert set(one.chips) <= known


def test_recipes_are_not_what_vllm_says() -> None:
    assert (RECIPE.engines, RECIPE.device_runtime) == (("vllm", "torch"), "hygon")
    for recipe in (RECIPE, PLUGIN_RECIPE):
        plan = recipe.launch_plan
        assert plan is not None
        assert (plan.device_type, plan.hardware, recipe.hardware) == ("cuda", "hygon", "hygon")
        assert plan.install_hint
        assert may_claim(recipe.name, "sage-infer-hygon")
        assert recipe.transport is not None
        assert recipe.transport.mooncake_build_flag == "USE_HYGON"
        assert type(recipe).model_validate_json(recipe.model_dump_json()) == recipe
    plugin = PLUGIN_RECIPE.launch_plan
    assert plugin is not None
    assert plugin.platform_plugin == "vllm.platform_plugins:hcu"


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("ERROR:root:Driver not initialized (amdgpu not found in modules)", "driver"),
        ("ROCk module is NOT loaded, possibly no GPU devices", "driver"),
        ("Unable to open /dev/kfd read-write: No such file or directory", "driver"),
        ("Unable to open /dev/kfd read-write: Permission denied", "permission"),
        ('tux is not member of "render" group, the default DRM access group.', "permission"),
        (
            "ImportError: libgalaxyhip.so.5: cannot open shared object file: No such file or directory",
            "driver",
        ),
        (
            "symbol roctracer_next_record, version HIP not defined in file libgalaxyhip.so.5",
            "version_mismatch",
        ),
        ("RuntimeError: HIP error: invalid device function", "version_mismatch"),
        ("torch.OutOfMemoryError: HIP out of memory. Tried to allocate 2.00 GiB", "out_of_memory"),
        ("RuntimeError: No HIP GPUs are available", "driver"),
        ("nvml: GPU_IS_LOST", "lost_device"),
        ("LIB_RM_VERSION_MISMATCH", "version_mismatch"),
        ("hsa api call failure: HSA_STATUS_ERROR_OUT_OF_RESOURCES", "driver"),
        ("something else", "unknown"),
    ],
)
def test_a_message_is_sorted_wrongly(message: str, kind: str) -> None:
    assert ERRORS.kind(message) == kind
