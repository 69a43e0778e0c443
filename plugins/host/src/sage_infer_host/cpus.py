"""Processors: how many, which, and how many of them this process may use."""

from __future__ import annotations

import re

import attrs

from sage_infer_contracts.devices import HostCpu
from sage_infer_contracts.names import DType

from .asking import Asker
from .parsing import cpu_list, fields, number

_CPU = "/sys/devices/system/cpu"


@attrs.frozen(slots=True)
class Processors:
    """What was found. ``online`` may be empty where only a count is known."""

    host: HostCpu
    online: tuple[int, ...]
    doubt: str | None


def read_processors(ask: Asker, quota_cpus: float | None) -> Processors | None:
    """Read the processors; None when no source gives a count."""
    info = ask.file("/proc/cpuinfo")
    listed = _listed(info)
    online = cpu_list(ask.file(f"{_CPU}/online")) or ()
    ask.step("/proc/cpuinfo and /sys/devices/system/cpu", bool(listed or online))
    counts = [count for count in (listed, len(online)) if count]
    if not counts:
        return _from_sysctl(ask)
    logical = min(counts)
    doubt = None
    if len(set(counts)) > 1:
        doubt = (
            f"/proc/cpuinfo lists {listed} processors, sysfs {len(online)}; the smaller number is reported"
        )
        ask.failed("processor count", doubt)
    values = fields(info)
    host = HostCpu(
        model=_model(values),
        architecture=_architecture(ask, values),
        physical_cores=_physical(ask, info, online, logical),
        logical_cpus=logical,
        usable_cpus=_usable(ask, online, logical, quota_cpus),
        features=tuple((values.get("flags") or values.get("Features") or "").split()),
    )
    return Processors(host, online, doubt)


def dtypes(features: tuple[str, ...]) -> tuple[DType, ...]:
    """Return the dtypes with instructions of their own, fp32 first: every CPU computes in it."""
    found: list[DType] = ["fp32"]
    present = set(features)
    if present & {"avx512_bf16", "amx_bf16", "bf16"}:
        found.append("bf16")
    if present & {"avx512_fp16", "amx_fp16", "asimdhp"}:
        found.append("fp16")
    if present & {"avx512_vnni", "avx_vnni", "amx_int8", "asimddp"}:
        found.append("int8")
    return tuple(found)


def _listed(info: str | None) -> int:
    return len({line.partition(":")[2].strip() for line in (info or "").splitlines() if _is_processor(line)})


def _is_processor(line: str) -> bool:
    key, colon, value = line.partition(":")
    return bool(colon) and key.strip() == "processor" and number(value) is not None


def _model(values: dict[str, str]) -> str | None:
    named = values.get("model name") or values.get("cpu model") or values.get("cpu")
    if named:
        return named
    implementer, part = values.get("CPU implementer"), values.get("CPU part")
    return f"CPU implementer {implementer} part {part}" if implementer and part else None


def _architecture(ask: Asker, values: dict[str, str]) -> str:
    for said in (ask.file("/proc/sys/kernel/arch"), ask.output("uname", "-m")):
        name = (said or "").strip()
        if re.fullmatch(r"\w{1,32}", name, re.ASCII):
            return name
    return "aarch64" if "CPU implementer" in values else "x86_64" if "flags" in values else "unknown"


def _physical(ask: Asker, info: str | None, online: tuple[int, ...], logical: int) -> int | None:
    siblings = [cpu_list(ask.file(f"{_CPU}/cpu{cpu}/topology/thread_siblings_list")) for cpu in online]
    sets = {one for one in siblings if one}
    # The sets must share the processors out. If one is unreadable or cut short, they do not, and none counts.
    members = [cpu for one in sets for cpu in one]
    if sets and all(siblings) and len(members) == len(set(members)) and set(online) == set(members):
        return len(sets) if len(sets) <= logical else None
    blocks = [fields(block) for block in re.split(r"\n\s*\n", info or "") if "processor" in block]
    cores = {(block.get("physical id"), block.get("core id")) for block in blocks}
    complete = cores and all(
        number(package) is not None and number(core) is not None for package, core in cores
    )
    return len(cores) if complete and len(blocks) == logical and len(cores) <= logical else None


def _usable(ask: Asker, online: tuple[int, ...], logical: int, quota_cpus: float | None) -> float:
    allowed = cpu_list(fields(ask.file("/proc/self/status")).get("Cpus_allowed_list"))
    usable = float(logical)
    if allowed:
        # The mask may name processors that are not online, or that do not exist.
        usable = min(usable, float(len(set(allowed) & set(online)) if online else len(allowed)))
    ask.step("affinity and control groups", bool(allowed) or quota_cpus is not None)
    return usable if quota_cpus is None else min(usable, quota_cpus)


def _from_sysctl(ask: Asker) -> Processors | None:
    logical = number(ask.output("sysctl", "-n", "hw.logicalcpu"))
    ask.step("sysctl", bool(logical))
    if not logical:
        return None
    physical = number(ask.output("sysctl", "-n", "hw.physicalcpu"))
    brand = (ask.output("sysctl", "-n", "machdep.cpu.brand_string") or "").strip()
    if len(brand.splitlines()) > 1:  # something else printed too, and nothing tells which line is the name
        brand = ""
    host = HostCpu(
        model=brand or None,
        architecture=_architecture(ask, {}),
        physical_cores=physical if physical and physical <= logical else None,
        logical_cpus=logical,
        usable_cpus=float(logical),
    )
    return Processors(host, (), None)
