"""What a run stood on: versions and the machine, without the machine's name."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

from sage_infer_contracts.wire import CONTRACT_VERSION

_DISTRIBUTIONS = {
    "contracts": "sage-infer-contracts",
    "kit": "sage-infer-conformance",
    "hypothesis": "hypothesis",
    "pydantic": "pydantic",
}


def environment() -> dict[str, str]:
    """Return what a reader needs to have the same again."""
    installed = {name: _version(distribution) for name, distribution in _DISTRIBUTIONS.items()}
    return {
        "contract": CONTRACT_VERSION,
        **installed,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "cpus": str(_usable_cpus()),
    }


def _usable_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"
