"""The one place of the engine settings, which every arm gets: by our configuration, or by vLLM's own flags."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, cast

import attrs

from sage_infer.backends.creation import create_backend
from sage_infer.backends.plan import plan_backend
from sage_infer.plugins import default_registry
from sage_infer_contracts.backend import BackendConfig, ModelLocation

QUIET = {"VLLM_LOGGING_LEVEL": "WARNING", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
"""Environment of every arm: no lines per request, and nothing that waits for a network."""

_STARTED_WITH = dict(os.environ)
"""Kept before vLLM is imported here, which sets variables that a server of its own would then inherit."""

_OF_A_USER = (
    "SAGE_INFER_CONFIG",
    "SAGE_INFER_PLUGIN_ALLOWLIST",
    "VLLM_CPU_KVCACHE_SPACE",
    "PYTHONDONTWRITEBYTECODE",
)


@attrs.frozen
class EngineSettings:
    """What both arms run with; precision is fp32 everywhere."""

    name: str
    """The model, as ``--llm`` takes it."""

    model: ModelLocation
    eager: bool
    max_model_len_tokens: int = 2048
    max_num_seqs: int = 32
    kv_bytes: int = 1 << 30
    isolation: str = "process"
    """Whether our server keeps the backend in a worker process, or in its own as ``vllm serve`` does."""

    max_num_batched_tokens: int = 2048
    block_size_tokens: int = 128

    @property
    def options(self) -> dict[str, bool | int]:
        """The options of our backend; names after ``vllm.`` are engine arguments of vLLM."""
        return {
            "enforce_eager": self.eager,
            "vllm.kv_cache_memory_bytes": self.kv_bytes,
            "vllm.max_num_batched_tokens": self.max_num_batched_tokens,
            "vllm.block_size": self.block_size_tokens,
        }

    @property
    def config(self) -> BackendConfig:
        """Our configuration."""
        return BackendConfig(
            model=self.model,
            dtype="fp32",
            max_sequence_length=self.max_model_len_tokens,
            max_batch_size=self.max_num_seqs,
            options=self.options,
        )

    def serve_flags(self) -> list[str]:
        """Return the same as flags of ``sage infer serve``."""
        flags = ["--backend", "vllm", "--llm", self.name, "--dtype", "fp32"]
        flags += ["--max-sequence-length", str(self.max_model_len_tokens)]
        flags += ["--max-batch-size", str(self.max_num_seqs), "--isolation", self.isolation]
        for key, value in self.options.items():
            flags += ["--option", f"{key}={str(value).lower()}"]
        return flags


@attrs.frozen
class Launch:
    """What our adapter starts vLLM with, asked from the adapter itself, so that vLLM alone can get the same."""

    environment: Mapping[str, str]
    arguments: Mapping[str, object]

    @classmethod
    def of(cls, settings: EngineSettings) -> Launch:
        """Return the launch that these settings lead to; nothing is started."""
        registry = default_registry()
        backend = create_backend(plan_backend("vllm", settings.config, registry=registry), registry)
        launch = cast("Any", backend)._engine.launch
        return cls(dict(launch.environment), dict(launch.arguments))

    def vllm_flags(self) -> list[str]:
        """Return the arguments as flags of vLLM's server, all but the model, which has a place of its own."""
        flags: list[str] = []
        for name, value in self.arguments.items():
            flag = name.replace("_", "-")
            if isinstance(value, bool):
                flags.append(f"--{flag}" if value else f"--no-{flag}")
            elif name != "model":
                flags += [f"--{flag}", str(value)]
        return flags


def environment(launch: Launch) -> dict[str, str]:
    """Return the environment of a server process: that of this script, without what would change the settings."""
    kept = {
        name: value
        for name, value in _STARTED_WITH.items()
        if name not in _OF_A_USER and not (name.startswith("SAGE_INFER_") and "__" in name)
    }
    return {**kept, **QUIET, **launch.environment}


def describe(settings: EngineSettings, launch: Launch) -> dict[str, str]:
    """Return what a reader needs to judge the figures, in order of printing."""
    shown = {name: str(value) for name, value in launch.arguments.items() if name != "model"}
    return {
        "versions": ", ".join(
            f"{name} {_version(name)}" for name in ("sage-infer", "sage-infer-vllm", "vllm", "torch")
        )
        + f", python {platform.python_version()}",
        "cpu": f"{cpu_model()}, {os.cpu_count()} cores, threads bound to "
        f"{launch.environment.get('VLLM_CPU_OMP_THREADS_BIND', 'no CPU list')}",
        "model": f"{settings.name} ({settings.model.source} {settings.model.revision or ''})",
        "compiled": "no, eager" if settings.eager else "yes",
        "isolation": f"{settings.isolation}, of our server",
        "engine": ", ".join(f"{name}={value}" for name, value in shown.items()),
    }


def has_vllm_command() -> bool:
    """Say whether ``vllm serve`` works: it does not start where vLLM's distribution has another name."""
    try:
        version("vllm")
    except PackageNotFoundError:
        return False
    return True


def _version(name: str) -> str:
    names = ["vllm", "vllm-cpu"] if name == "vllm" else [name]
    for candidate in names:
        try:
            return version(candidate)
        except PackageNotFoundError:
            continue
    return "unknown"


def cpu_model() -> str:
    """Return the processor as the system names it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(errors="replace").splitlines() if info.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
