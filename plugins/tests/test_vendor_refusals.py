"""What the project's vendors refuse, asked as a user asks it, through core's own reading of configuration and model.

A vendor's plugin that is not installed here is skipped by name.
"""

from __future__ import annotations

import json
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from sage_infer.backends.launch_checks import check_refusals
from sage_infer.backends.launch_settings import asked_settings
from sage_infer_contracts.backend import BackendConfig, ModelLocation
from sage_infer_contracts.errors import InvalidRequest
from sage_infer_contracts.kv import KVSchemaRequest
from sage_infer_contracts.launch import BackendRecipe

VENDORS = ("ascend", "cambricon", "cuda", "hygon", "kunlunxin")
MLA = {
    "model_type": "deepseek_v3",
    "kv_lora_rank": 512,
    "num_attention_heads": 128,
    "num_key_value_heads": 128,
}
FP8 = {"quantization_config": {"quant_method": "fp8"}}
PAGES_16 = {"kv_schema": KVSchemaRequest(page_size=16)}
CHUNKED = {"options": {"vllm.enable_chunked_prefill": True}}


def recipe_of(vendor: str) -> BackendRecipe:
    found = list(entry_points(group="sage_infer.backend.v1", name=vendor))
    if not found:
        pytest.skip(f"sage-infer-{vendor} is not installed")
    recipe = found[0].load()
    assert isinstance(recipe, BackendRecipe)
    return recipe


def ask(
    vendor: str,
    chip: str | None,
    folder: Path,
    model: dict[str, Any],
    fields: dict[str, Any],
    *,
    engine: str = "vllm",
    capabilities: tuple[str, ...] = (),
) -> tuple[str, ...]:
    plan = recipe_of(vendor).launch_plan
    assert plan is not None
    (folder / "config.json").write_text(json.dumps(model))
    config = BackendConfig(model=ModelLocation(model_id="m", path=str(folder)), device=vendor)
    asked = asked_settings(config.model_copy(update=fields), plan, engine=engine, capabilities=capabilities)
    return check_refusals(plan, asked, lambda: (chip,))


@pytest.mark.parametrize(
    ("vendor", "chip", "model", "fields", "param"),
    [
        ("ascend", "910B3", {}, PAGES_16, "kv_schema.page_size"),
        ("ascend", None, {}, PAGES_16, "kv_schema.page_size"),
        ("ascend", "910B3", {}, {"options": {"vllm.block_size": 16}}, "kv_schema.page_size"),
        ("ascend", "910B3", FP8, {}, "quantization"),
        ("ascend", "910B4", {}, {"kv_schema": KVSchemaRequest(dtype="fp8_e4m3")}, "kv_schema.dtype"),
        ("ascend", "910A", {}, {}, "engine"),
        ("ascend", "310P3", {}, {"dtype": "bf16"}, "dtype"),
        ("cambricon", "MLU590-M9", MLA, CHUNKED, "enable_chunked_prefill"),
        ("cambricon", "MLU370-X8", FP8, {}, "quantization"),
        ("cambricon", "MLU370-X8", {}, {"dtype": "bf16"}, "dtype"),
        ("kunlunxin", "P800", FP8, {}, "quantization"),
        ("kunlunxin", "P800", {}, {"options": {"vllm.kv_transfer_config": "{}"}}, "kv_transfer_config"),
        ("kunlunxin", "P800", {}, {"dtype": "fp8_e4m3"}, "dtype"),
        ("kunlunxin", "R200", {}, {}, "engine"),
        ("hygon", "K100_AI", FP8, {}, "quantization"),
    ],
)  # fmt: skip
def test_what_the_chip_cannot_do_is_refused_with_a_reason_and_an_alternative(
    vendor: str, chip: str | None, model: dict[str, Any], fields: dict[str, Any], param: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidRequest, match="; instead: ") as caught:
        ask(vendor, chip, tmp_path, model, fields)
    assert caught.value.param == param


def test_prefill_and_decode_on_two_instances_are_refused_where_nothing_moves_kv(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="prefill/decode"):
        ask("kunlunxin", "P800", tmp_path, {}, {}, capabilities=("backend.kv_export",))


@pytest.mark.parametrize(
    ("vendor", "chip", "model", "fields", "engine"),
    [
        ("ascend", "910B3", {}, {"kv_schema": KVSchemaRequest(page_size=128), "dtype": "bf16"}, "vllm"),
        ("ascend", "910A", {}, {"dtype": "fp16"}, "torch"),
        ("cambricon", "MLU590-M9", {"num_attention_heads": 32, "num_key_value_heads": 8}, CHUNKED, "vllm"),
        ("cambricon", "MLU590-M9", MLA, {}, "vllm"),
        ("kunlunxin", "P800", {}, {"kv_schema": KVSchemaRequest(page_size=128)}, "vllm"),
        ("hygon", "K100_AI", {}, {"dtype": "bf16"}, "vllm"),
        ("cuda", "H100-SXM5-80GB", {}, {"dtype": "bf16"}, "vllm"),
    ],
)
def test_what_the_chip_can_do_is_not_refused(
    vendor: str, chip: str, model: dict[str, Any], fields: dict[str, Any], engine: str, tmp_path: Path
) -> None:
    assert ask(vendor, chip, tmp_path, model, fields, engine=engine) == ()


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_launch_that_asks_for_nothing_is_not_refused_for_its_own_plans_arguments(
    vendor: str, tmp_path: Path
) -> None:
    assert all("engine=" in note for note in ask(vendor, None, tmp_path, {}, {}))


@pytest.mark.parametrize("vendor", VENDORS)
def test_every_refusal_has_an_alternative(vendor: str) -> None:
    plan = recipe_of(vendor).launch_plan
    assert plan is not None
    assert [one.setting for one in plan.refusals if not one.alternative] == []
