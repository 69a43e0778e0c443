"""What a launch asks for, flattened: every spelling of a setting, and what a model's config says of itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from sage_infer.backends.launch_settings import asked_settings
from sage_infer.backends.model_facts import model_facts
from sage_infer_contracts.backend import BackendConfig, ModelLocation
from sage_infer_contracts.kv import KVSchemaRequest
from sage_infer_contracts.launch import EngineLaunchPlan

CONFIG = BackendConfig(model=ModelLocation(model_id="polly", path="/nowhere"))
PLAN = EngineLaunchPlan(
    hardware="acme", arguments={"block_size": 128, "dtype": "bfloat16", "enforce_eager": True}
)
FP8 = {"num_bits": 8, "type": "float"}


def folder(path: Path, config: object) -> str:
    (path / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    return str(path)


@pytest.mark.parametrize(
    ("config", "facts"),
    [
        ({"model_type": "llama", "num_attention_heads": 32}, {"model.type": "llama"}),
        ({"num_attention_heads": 32, "num_key_value_heads": 32}, {"model.attention": "mha"}),
        ({"num_attention_heads": 32, "num_key_value_heads": 8}, {"model.attention": "gqa"}),
        (
            {"num_attention_heads": 128, "num_key_value_heads": 128, "kv_lora_rank": 512},
            {"model.attention": "mla"},
        ),
        ({"kv_lora_rank": None, "num_attention_heads": True, "num_key_value_heads": "8"}, {}),
        ({"torch_dtype": "bfloat16"}, {"model.dtype": "bf16"}),
        ({"dtype": "torch.float16"}, {"model.dtype": "fp16"}),
        (
            {"model_type": "vision", "text_config": {"num_attention_heads": 4, "num_key_value_heads": 1}},
            {"model.type": "vision", "model.attention": "gqa"},
        ),
        ({"quantization_config": {"quant_method": "fp8"}}, {"quantization": "fp8", "model.weights": "fp8"}),
        (
            {"quantization_config": {"quant_method": "gptq", "bits": 4}},
            {"quantization": "gptq", "model.weights": "int4"},
        ),
        (
            {
                "quantization_config": {
                    "quant_method": "compressed-tensors",
                    "config_groups": {"group_0": {"weights": FP8}},
                }
            },
            {"quantization": "compressed-tensors", "model.weights": "fp8"},
        ),
        (
            {
                "quantization_config": {
                    "quant_method": "compressed-tensors",
                    "config_groups": {
                        "a": {"weights": FP8},
                        "b": {"weights": {"num_bits": 4, "type": "int"}},
                    },
                }
            },
            {"quantization": "compressed-tensors"},
        ),
        ({"quantization_config": {"quant_method": "new"}}, {"quantization": "new"}),
        ("{", {}),
        ("[]", {}),
    ],
)
def test_only_what_the_config_says_is_a_fact(tmp_path: Path, config: object, facts: dict[str, str]) -> None:
    assert model_facts(folder(tmp_path, config)) == facts


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "quant_method",
                    "config_groups",
                    "weights",
                    "bits",
                    "num_bits",
                    "type",
                    "kv_lora_rank",
                    "dtype",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "model_type",
                "text_config",
                "quantization_config",
                "num_attention_heads",
                "kv_lora_rank",
                "dtype",
            ]
        ),
        json_values,
    )
)
def test_a_strange_config_is_no_error(tmp_path_factory: pytest.TempPathFactory, config: object) -> None:
    path = tmp_path_factory.mktemp("model", numbered=True)
    assert all(isinstance(value, str) for value in model_facts(folder(path, config)).values())


def test_what_is_not_asked_for_is_not_a_setting() -> None:
    settings = asked_settings(CONFIG)
    assert not {"dtype", "kv_schema.page_size", "engine", "quantization"} & set(settings)
    assert settings["device_ids"] == "0"


def test_each_spelling_of_a_setting_is_that_setting() -> None:
    asked = CONFIG.model_copy(
        update={"kv_schema": KVSchemaRequest(page_size=64, dtype="bf16"), "options": {"vllm.dtype": "half"}}
    )
    settings = asked_settings(asked, engine="vllm")
    assert settings["kv_schema.page_size"] == settings["block_size"] == "64"
    assert settings["kv_schema.dtype"] == settings["kv_cache_dtype"] == "bf16"
    assert (settings["dtype"], settings["vllm.dtype"]) == ("fp16", "half")
    other = asked_settings(asked, engine="other")
    assert "dtype" not in other


def test_options_win_over_fields_and_fields_over_the_plan() -> None:
    def page(**options: Any) -> str:
        config = CONFIG.model_copy(update={"options": options, "kv_schema": KVSchemaRequest(page_size=64)})
        return asked_settings(config, PLAN, engine="vllm")["kv_schema.page_size"]

    assert page() == "64"
    assert page(block_size=32) == "32"
    assert page(**{"vllm.block_size": 16}) == "16"
    plain = asked_settings(CONFIG, PLAN)
    assert (plain["kv_schema.page_size"], plain["dtype"], plain["enforce_eager"]) == ("128", "bf16", "true")
    unset = CONFIG.model_copy(update={"options": {"block_size": None, "vllm.kv_cache_dtype": "auto"}})
    assert asked_settings(unset, PLAN, engine="vllm")["block_size"] == "128"
    assert "kv_cache_dtype" not in asked_settings(unset, PLAN, engine="vllm")


def test_the_checkpoints_quantization_counts_unless_an_option_names_another(tmp_path: Path) -> None:
    path = folder(tmp_path, {"quantization_config": {"quant_method": "fp8"}, "dtype": "bfloat16"})
    config = CONFIG.model_copy(update={"model": ModelLocation(model_id="polly", path=path)})
    assert asked_settings(config)["quantization"] == "fp8"
    other = config.model_copy(update={"options": {"quantization": "awq"}})
    assert asked_settings(other)["quantization"] == "awq"
    assert asked_settings(config)["model.dtype"] == "bf16"
    assert "model.dtype" not in asked_settings(config.model_copy(update={"dtype": "fp16"}))


def test_capabilities_that_will_be_used_are_settings() -> None:
    parallel = CONFIG.model_copy(update={"tensor_parallel_size": 2, "device_ids": (0, 1)})
    settings = asked_settings(parallel, capabilities=["backend.kv_export"])
    assert settings["backend.kv_export"] == settings["backend.tensor_parallel"] == "true"
    assert settings["device_ids"] == "0,1"
    assert "backend.embedding" not in settings
