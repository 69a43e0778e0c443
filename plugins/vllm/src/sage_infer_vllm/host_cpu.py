"""Settings of vLLM's CPU build that depend on the machine: threads, precision and memory, all read from it."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

FREE_MEMORY_SHARE = 0.25
"""Share of free memory that the KV pool takes when no size is configured; vLLM's own default takes most of all."""

_CPUINFO = Path("/proc/cpuinfo")
_BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})


def usable_cpus() -> list[int]:
    """Return the ids of the CPUs that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def thread_binding(threads: int | None) -> str:
    """Return the CPUs for the engine's compute threads as ``0,1``: as many as asked, or every usable one.

    vLLM's own choice leaves one core to its other processes, which on few cores costs more than it gives.
    """
    cpus = usable_cpus()
    return ",".join(map(str, cpus[:threads]))


def computes_bf16(cpuinfo: Path = _CPUINFO) -> bool:
    """Say whether the processor has bfloat16 instructions; without them fp32 is faster than emulated bf16."""
    try:
        text = cpuinfo.read_text(errors="replace")
    except OSError:
        return False
    for line in text.splitlines():
        if line.partition(":")[0].strip().lower() in ("flags", "features"):
            return not _BF16_FLAGS.isdisjoint(line.partition(":")[2].split())
    return False


def default_kv_bytes() -> int:
    """Return the size of the KV pool when none is configured."""
    return int(psutil.virtual_memory().available * FREE_MEMORY_SHARE)
