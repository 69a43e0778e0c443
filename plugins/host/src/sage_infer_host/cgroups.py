"""Limits of the control groups around this process, version 1 and 2, every level up to the root."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

import attrs

from .asking import Asker
from .parsing import number

_ROOT = "/sys/fs/cgroup"
_DEEPEST = 32


@attrs.frozen(slots=True)
class Limits:
    """The tightest limits found. ``memory_available_bytes`` belongs to the level with the least left."""

    cpus: float | None = None
    memory_bytes: int | None = None
    memory_available_bytes: int | None = None


def read_limits(ask: Asker) -> Limits:
    """Read the limits; all None outside Linux or without any."""
    groups = _groups(ask.file("/proc/self/cgroup"))
    cpus = [quota for folder in _folders(groups, "cpu") if (quota := _quota(ask, folder)) is not None]
    memory = [found for folder in _folders(groups, "memory") if (found := _memory(ask, folder)) is not None]
    left = [available for _, available in memory if available is not None]
    return Limits(
        cpus=min(cpus, default=None),
        memory_bytes=min((limit for limit, _ in memory), default=None),
        memory_available_bytes=min(left, default=None),
    )


def _groups(text: str | None) -> dict[str, str]:
    """Read /proc/self/cgroup: controller to path, version 2 under the empty name."""
    found: dict[str, str] = {}
    for line in (text or "").splitlines():
        parts = line.split(":", 2)
        if len(parts) == 3 and parts[2].startswith("/"):
            for controller in parts[1].split(","):
                found.setdefault(controller, parts[2])
    return found


def _folders(groups: dict[str, str], controller: str) -> Iterator[str]:
    """Yield folders from this process's group to the root, for both versions.

    Inside a container the path may be the host's and lead nowhere; the root is then the container's own group.
    """
    for path in _upwards(groups.get("", "/")):
        yield f"{_ROOT}{path}".rstrip("/")
    for base in (controller, "cpu,cpuacct") if controller == "cpu" else (controller,):
        for path in _upwards(groups.get(controller, "/")):
            yield f"{_ROOT}/{base}{path}".rstrip("/")


def _upwards(path: str) -> list[str]:
    pure = PurePosixPath(path)
    if ".." in pure.parts:  # a group outside this namespace's root
        return ["/"]
    return [str(one) for one in (pure, *pure.parents)][-_DEEPEST:]


def _quota(ask: Asker, folder: str) -> float | None:
    both = (ask.file(f"{folder}/cpu.max") or "").split()
    if len(both) == 2:
        quota, period = number(both[0]), number(both[1])
    else:
        quota = number(ask.file(f"{folder}/cpu.cfs_quota_us"))  # -1, no quota, is no number
        period = number(ask.file(f"{folder}/cpu.cfs_period_us"))
    return quota / period if quota and period else None


def _memory(ask: Asker, folder: str) -> tuple[int, int | None] | None:
    limit = number(ask.file(f"{folder}/memory.max"))
    if limit is not None:
        used, cache = number(ask.file(f"{folder}/memory.current")), "inactive_file"
    else:
        limit = number(ask.file(f"{folder}/memory.limit_in_bytes"))
        used, cache = number(ask.file(f"{folder}/memory.usage_in_bytes")), "total_inactive_file"
    if limit is None or limit >= 2**62:  # version 1 writes "no limit" as the largest page-aligned number
        return None
    if used is None:
        return limit, None
    droppable = _stat(ask.file(f"{folder}/memory.stat"), cache)
    return limit, max(0, limit - max(0, used - droppable))


def _stat(text: str | None, name: str) -> int:
    for line in (text or "").splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return number(value) or 0
    return 0
