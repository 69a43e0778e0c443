"""What vLLM is started with: settings translated, plans applied, everything else refused by name. Needs no vLLM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sage_infer_contracts.backend import BackendConfig, ModelLocation
from sage_infer_contracts.errors import InvalidRequest, Unsupported
from sage_infer_contracts.kv import parse_kv_schema
from sage_infer_contracts.launch import EngineLaunchPlan
from sage_infer_vllm import host_cpu
from sage_infer_vllm.launch import Launch, Runner, launch_of
from sage_infer_vllm.options import VLLMOptions

MODEL = ModelLocation(model_id="m", path="/models/m")
CHIP = EngineLaunchPlan(
    hardware="acme",
    device_type="xpu9",
    environment={"ACME_HEAP": "1"},
    arguments={"block_size": 64, "max_num_seqs": 4, "enforce_eager": True},
    plugin_allowlist=("acme_platform", "acme_ops"),
)


def launch(plan: EngineLaunchPlan | None = None, runner: Runner = "generate", **settings: Any) -> Launch:
    config = BackendConfig(model=MODEL, **settings)
    return launch_of(config, VLLMOptions.parse(config.options), plan, runner=runner)


def test_every_setting_reaches_the_engine() -> None:
    arguments = launch(
        dtype="fp16",
        max_sequence_length=4096,
        max_batch_size=7,
        max_batched_tokens=512,
        kv_cache_memory_bytes=10**9,
        options={
            "enforce_eager": True,
            "quantization": "fp8",
            "num_gpu_blocks": 40,
            "prefix_cache": False,
            "trust_remote_code": True,
            "vllm.seed": 3,
        },
    ).arguments
    assert arguments == {
        "runner": "generate",
        "model": "/models/m",
        "served_model_name": "m",
        "dtype": "float16",
        "max_model_len": 4096,
        "max_num_seqs": 7,
        "max_num_batched_tokens": 512,
        "kv_cache_memory_bytes": 10**9,
        "num_gpu_blocks_override": 40,
        "quantization": "fp8",
        "enforce_eager": True,
        "enable_prefix_caching": False,
        "trust_remote_code": True,
        "seed": 3,
    }


def test_a_cpu_gets_every_usable_core_and_a_share_of_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_cpu, "usable_cpus", lambda: [2, 3, 5])
    monkeypatch.setattr(host_cpu, "default_kv_bytes", lambda: 12345)
    assert launch().environment == {"VLLM_CPU_OMP_THREADS_BIND": "2,3,5"}
    assert launch(threads=2).environment == {"VLLM_CPU_OMP_THREADS_BIND": "2,3"}
    assert launch().arguments["kv_cache_memory_bytes"] == 12345


@pytest.mark.parametrize(
    ("cpuinfo", "has"),
    [
        ("processor : 0\nflags\t\t: fpu avx512f avx512_bf16\n", True),
        ("processor : 0\nflags\t\t: fpu avx512f avx512_vnni\n", False),
        ("processor : 0\nFeatures\t: fp asimd bf16\n", True),
        ("", False),
    ],
)
def test_bf16_is_used_where_the_processor_has_it(tmp_path: Path, cpuinfo: str, has: bool) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(cpuinfo)
    assert host_cpu.computes_bf16(file) is has
    assert host_cpu.computes_bf16(tmp_path / "absent") is False


def test_a_plan_brings_a_platform_and_the_configuration_wins_over_it() -> None:
    planned = launch(CHIP, device="acme", max_batch_size=9)
    assert planned.device_type == "xpu9"
    assert planned.environment == {"ACME_HEAP": "1", "VLLM_PLUGINS": "acme_platform,acme_ops"}
    assert planned.arguments["block_size"] == 64
    assert planned.arguments["enforce_eager"] is True
    assert planned.arguments["max_num_seqs"] == 9
    assert "kv_cache_memory_bytes" not in planned.arguments, "the CPU's defaults are the CPU's"


def test_without_a_plan_the_platform_must_be_the_device_itself() -> None:
    assert launch(device="acme").device_type == "acme"


def test_parallel_devices_are_counted_and_named() -> None:
    assert "device_ids" not in launch().arguments
    parallel = launch(CHIP, device="acme", tensor_parallel_size=2, device_ids=(2, 3)).arguments
    assert (parallel["tensor_parallel_size"], parallel["device_ids"]) == (2, [2, 3])
    with pytest.raises(InvalidRequest, match="tensor_parallel_size is 2 and device_ids names 1") as refused:
        launch(tensor_parallel_size=2)
    assert refused.value.param == "device_ids"


def test_threads_are_refused_where_there_is_no_such_setting() -> None:
    with pytest.raises(Unsupported, match="CPU threads"):
        launch(CHIP, device="acme", threads=4)


def test_a_dtype_that_vllm_does_not_compute_in_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="int8") as refused:
        launch(dtype="int8")
    assert refused.value.param == "dtype"


@pytest.mark.parametrize(
    ("asked", "dtype", "arguments"),
    [
        ("preset=fp32", "fp32", {}),
        ("preset=fp16", "fp16", {}),
        ("preset=bf16", "fp16", {"kv_cache_dtype": "bfloat16"}),
        ("preset=fp8", "bf16", {"kv_cache_dtype": "fp8_e4m3"}),
        ("page_size=64", "fp16", {"block_size": 64}),
    ],
)
def test_a_kv_schema_becomes_vllms_settings(asked: str, dtype: str, arguments: dict[str, object]) -> None:
    plain = launch(dtype=dtype).arguments
    got = launch(dtype=dtype, kv_schema=parse_kv_schema(asked)).arguments
    assert {name: value for name, value in got.items() if plain.get(name) != value} == arguments


@pytest.mark.parametrize("asked", ["preset=fp32", "preset=int8", "preset=int4"])
def test_a_kv_schema_that_vllm_has_no_setting_for_is_refused(asked: str) -> None:
    with pytest.raises(Unsupported, match=asked.partition("=")[2]) as refused:
        launch(dtype="fp16", kv_schema=parse_kv_schema(asked))
    assert refused.value.param == "kv_schema"


def test_pooling_takes_token_ids_and_no_kv_schema() -> None:
    arguments = launch(runner="pooling", kv_schema=parse_kv_schema("preset=fp8")).arguments
    assert arguments["runner"] == "pooling"
    assert arguments["skip_tokenizer_init"] is True
    assert "kv_cache_dtype" not in arguments


@pytest.mark.parametrize(
    ("options", "named"),
    [({"lease": 3}, "lease"), ({"lease_s": "soon"}, "lease_s"), ({"lease_s": -1}, "lease_s")],
)
def test_a_wrong_option_is_named(options: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        VLLMOptions.parse(options)
    assert refused.value.param == f"options.{named}"
