"""From a configuration and a launch plan to what vLLM is started with, as data and before vLLM is imported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import attrs

from sage_infer_contracts.backend import BackendConfig
from sage_infer_contracts.errors import InvalidRequest, Unsupported
from sage_infer_contracts.kv import KVSchemaRequest
from sage_infer_contracts.launch import EngineLaunchPlan

from . import host_cpu
from .options import EngineArgument, EngineOptions

Runner = Literal["generate", "pooling"]
DEFAULT_BATCH_SIZE = 32
"""Sequences that run at once on a CPU when nothing is configured; elsewhere vLLM chooses by the device."""

_DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
_KV_DTYPES = {"fp16": "float16", "bf16": "bfloat16", "fp8_e4m3": "fp8_e4m3", "fp8_e5m2": "fp8_e5m2"}


@attrs.frozen(slots=True)
class Launch:
    """Environment of the engine's processes, engine arguments, and the device vLLM must turn out to run on."""

    environment: Mapping[str, str]
    arguments: Mapping[str, EngineArgument | list[int]]
    device_type: str


def launch_of(
    config: BackendConfig,
    options: EngineOptions,
    plan: EngineLaunchPlan | None,
    *,
    runner: Runner = "generate",
) -> Launch:
    """Return how to start vLLM for ``config``.

    Later sources win: what suits the host, the plan of the platform, the configuration, options for vLLM itself.
    Raises ``InvalidRequest`` or ``Unsupported`` naming the setting.
    """
    device_type = (plan.device_type if plan else None) or config.device
    on_cpu = device_type == "cpu"
    arguments: dict[str, EngineArgument | list[int]] = {"runner": runner}
    environment: dict[str, str] = {}
    if on_cpu:
        environment["VLLM_CPU_OMP_THREADS_BIND"] = host_cpu.thread_binding(config.threads)
        arguments |= _cpu_arguments()
    elif config.threads is not None:
        raise Unsupported(f"vLLM on {config.device} has no setting for CPU threads", param="threads")
    if plan is not None:
        arguments |= plan.arguments
        environment |= plan.environment
        if plan.plugin_allowlist:
            environment["VLLM_PLUGINS"] = ",".join(plan.plugin_allowlist)
    arguments |= _configured(config, options)
    if runner == "pooling":
        arguments["skip_tokenizer_init"] = True  # it is given token ids: see embedding.texts
    if config.kv_schema is not None and runner == "generate":
        arguments |= _kv_arguments(config.kv_schema, str(arguments.get("dtype", "auto")))
    arguments |= options.engine_arguments
    return Launch(environment, arguments, device_type)


def _cpu_arguments() -> dict[str, EngineArgument | list[int]]:
    return {
        "dtype": "auto" if host_cpu.computes_bf16() else "float32",
        "kv_cache_memory_bytes": host_cpu.default_kv_bytes(),
        "max_num_seqs": DEFAULT_BATCH_SIZE,
    }


def _configured(config: BackendConfig, options: EngineOptions) -> dict[str, EngineArgument | list[int]]:
    wanted: dict[str, EngineArgument | list[int]] = {
        "model": config.model.path,
        "served_model_name": config.model.model_id,
        "max_model_len": config.max_sequence_length,
        "max_num_seqs": config.max_batch_size,
        "max_num_batched_tokens": config.max_batched_tokens,
        "kv_cache_memory_bytes": config.kv_cache_memory_bytes,
        "num_gpu_blocks_override": options.num_gpu_blocks,
        "quantization": options.quantization,
        "enforce_eager": options.enforce_eager or None,
        "enable_prefix_caching": None if options.prefix_cache else False,
        "trust_remote_code": options.trust_remote_code or None,
    }
    if config.dtype != "auto":
        if config.dtype not in _DTYPES:
            raise InvalidRequest(
                f"vLLM computes in {', '.join(_DTYPES)}; dtype {config.dtype!r} is none of them",
                param="dtype",
            )
        wanted["dtype"] = _DTYPES[config.dtype]
    arguments = {name: value for name, value in wanted.items() if value is not None}
    return arguments | _parallel(config)


def _parallel(config: BackendConfig) -> dict[str, EngineArgument | list[int]]:
    size, ids = config.tensor_parallel_size, list(config.device_ids)
    if len(ids) != size:
        raise InvalidRequest(
            f"tensor_parallel_size is {size} and device_ids names {len(ids)} devices; one device per part is needed",
            param="device_ids",
        )
    arguments: dict[str, EngineArgument | list[int]] = {}
    if size != 1:
        arguments["tensor_parallel_size"] = size
    if ids != list(range(size)):
        arguments["device_ids"] = ids
    return arguments


def _kv_arguments(asked: KVSchemaRequest, dtype: str) -> dict[str, EngineArgument | list[int]]:
    """Translate what vLLM has a setting for; the running engine's schema is compared with the request afterwards."""
    arguments: dict[str, EngineArgument | list[int]] = {}
    if asked.page_size is not None:
        arguments["block_size"] = asked.page_size
    if asked.dtype is None or _DTYPES.get(asked.dtype) == dtype:
        return arguments
    if asked.dtype not in _KV_DTYPES:
        raise Unsupported(
            f"vLLM cannot store KV as {asked.dtype}, as far as a KV schema can say it, when the model computes in "
            f"{dtype}; it can as {', '.join(_KV_DTYPES)}, or in the dtype that the model is asked to compute in",
            param="kv_schema",
        )
    arguments["kv_cache_dtype"] = _KV_DTYPES[asked.dtype]
    return arguments
