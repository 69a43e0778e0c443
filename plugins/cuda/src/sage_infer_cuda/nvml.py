"""Probe script: asks NVML through nvidia-ml-py and prints one JSON object. ``python -m sage_infer_cuda.nvml devices``

It runs in a child process of its own, so that a crash or a hang of the library stays there. Exit status 69: there is
no libnvidia-ml here. A driver that does not answer is ``{"error": ...}``, a GPU that does not is one of ``errors``, and
what NVML does not support is left out.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any

LIBRARY_MISSING_STATUS = 69
_UNCORRECTED, _VOLATILE = 1, 0
_LEVELS = {0: "INTERNAL", 10: "PIX", 20: "PXB", 30: "PHB", 40: "NODE", 50: "SYS"}
"""``nvmlGpuTopologyLevel_t`` in the words of ``nvidia-smi topo -m``."""
_REMOTE = {0: "gpu", 1: "ibmnpu", 2: "switch"}
"""``nvmlIntNvLinkDeviceType_t``."""
_MOST_LINKS = 36
_THROTTLES = {"hw_slowdown": 0x8, "hw_thermal_slowdown": 0x40, "hw_power_brake_slowdown": 0x80}
"""Bits of ``nvmlClocksEventReasons``."""


def main(arguments: list[str]) -> int:
    """Print the reply to the call named first; return the exit status."""
    if arguments[:1] != ["devices"]:
        print(json.dumps({"error": f"unknown call {arguments[:1]}; known: devices"}))
        return 0
    try:
        pynvml = import_module("pynvml")
    except ImportError:
        return LIBRARY_MISSING_STATUS
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        if type(error).__name__ == "NVMLError_LibraryNotFound":
            return LIBRARY_MISSING_STATUS
        print(json.dumps({"error": f"Failed to initialize NVML: {error}"}))
        return 0
    try:
        print(json.dumps(reply(pynvml)))
    except pynvml.NVMLError as error:
        print(json.dumps({"error": str(error)}))
    finally:
        pynvml.nvmlShutdown()
    return 0


def reply(nvml: Any) -> dict[str, Any]:
    """Return all devices that answer, how they are connected, and what the others say."""
    devices: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    handles: dict[int, Any] = {}
    for index in range(nvml.nvmlDeviceGetCount()):
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            devices.append(_device(nvml, handle, index))
        except nvml.NVMLError as error:
            errors.append({"index": index, "error": str(error)})
        else:
            handles[index] = handle
    return {
        "driver_version": _try(nvml, "nvmlSystemGetDriverVersion"),
        "devices": devices,
        "errors": errors,
        "paths": list(_paths(nvml, handles)),
    }


def _try(nvml: Any, call: str, *arguments: Any) -> Any:
    """Return what NVML answers to ``call``; None where it, or this version of the binding, does not support it."""
    try:
        return getattr(nvml, call)(*arguments)
    except (nvml.NVMLError, AttributeError, TypeError):
        return None


def _device(nvml: Any, handle: Any, index: int) -> dict[str, Any]:
    """Ask one GPU. Its UUID is asked for first: a GPU that is lost fails there, and is reported as such.

    A GPU of a system-on-chip (Jetson) does not support the question, and is there.
    """
    try:
        uuid = nvml.nvmlDeviceGetUUID(handle)
    except nvml.NVMLError as error:
        if type(error).__name__ != "NVMLError_NotSupported":
            raise
        uuid = None
    mode = _try(nvml, "nvmlDeviceGetMigMode", handle)
    pci = _try(nvml, "nvmlDeviceGetPciInfo", handle)
    capability = _try(nvml, "nvmlDeviceGetCudaComputeCapability", handle)
    busy = _try(nvml, "nvmlDeviceGetUtilizationRates", handle)
    found = {
        "index": index,
        "uuid": uuid,
        "name": _try(nvml, "nvmlDeviceGetName", handle),
        "pci.bus_id": _text(getattr(pci, "busId", None)),
        "minor_number": _try(nvml, "nvmlDeviceGetMinorNumber", handle),
        "utilization.gpu": None if busy is None else busy.gpu,
        "compute_cap": None if capability is None else ".".join(map(str, capability)),
        "cuda_cores": _try(nvml, "nvmlDeviceGetNumGpuCores", handle),
        "mig.mode.current": None if mode is None else ("Enabled" if mode[0] else "Disabled"),
        **_memory(nvml, handle),
        **_health(nvml, handle),
        "nvlinks": list(_nvlinks(nvml, handle)),
    }
    if mode is not None and mode[0]:
        found["slices"] = list(_slices(nvml, handle))
    return {name: value for name, value in found.items() if value is not None}


def _memory(nvml: Any, handle: Any) -> dict[str, Any]:
    """Total and used bytes; used as nvidia-smi counts it, without what the driver reserves, where NVML tells."""
    info = _try(nvml, "nvmlDeviceGetMemoryInfo", handle, getattr(nvml, "nvmlMemory_v2", None))
    info = info or _try(nvml, "nvmlDeviceGetMemoryInfo", handle)
    return {} if info is None else {"memory_total_bytes": info.total, "memory_used_bytes": info.used}


def _health(nvml: Any, handle: Any) -> dict[str, Any]:
    ecc = _try(nvml, "nvmlDeviceGetEccMode", handle)
    errors = _try(nvml, "nvmlDeviceGetTotalEccErrors", handle, _UNCORRECTED, _VOLATILE)
    rows = _try(nvml, "nvmlDeviceGetRemappedRows", handle)
    pages = _try(nvml, "nvmlDeviceGetRetiredPagesPendingStatus", handle)
    reasons = _try(nvml, "nvmlDeviceGetCurrentClocksThrottleReasons", handle)
    found: dict[str, Any] = {
        "ecc.mode.current": None if ecc is None else ("Enabled" if ecc[0] else "Disabled"),
        "ecc.errors.uncorrected.volatile.total": errors,
        "retired_pages.pending": _yes(pages),
    }
    if rows is not None:
        found |= {"remapped_rows.pending": _yes(rows[2]), "remapped_rows.failure": _yes(rows[3])}
    if reasons is not None:
        found |= {f"clocks_event_reasons.{name}": _yes(reasons & bit) for name, bit in _THROTTLES.items()}
    return found


def _yes(value: int | None) -> str | None:
    return None if value is None else ("Yes" if value else "No")


def _text(value: bytes | str | None) -> str | None:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _slices(nvml: Any, handle: Any) -> Iterator[dict[str, Any]]:
    """Ask each MIG device; slots that are empty answer NOT_FOUND."""
    for number in range(_try(nvml, "nvmlDeviceGetMaxMigDeviceCount", handle) or 0):
        mig = _try(nvml, "nvmlDeviceGetMigDeviceHandleByIndex", handle, number)
        if mig is None:
            continue
        attributes = _try(nvml, "nvmlDeviceGetAttributes", mig)
        found = {
            "number": number,
            "uuid": _try(nvml, "nvmlDeviceGetUUID", mig),
            "name": _try(nvml, "nvmlDeviceGetName", mig),
            "gpu_instance": _try(nvml, "nvmlDeviceGetGpuInstanceId", mig),
            "compute_instance": _try(nvml, "nvmlDeviceGetComputeInstanceId", mig),
            "multiprocessors": getattr(attributes, "multiprocessorCount", None),
            **_memory(nvml, mig),
        }
        yield {name: value for name, value in found.items() if value is not None}


def _nvlinks(nvml: Any, handle: Any) -> Iterator[dict[str, Any]]:
    common = _field(nvml, handle, "COMMON")
    for link in range(_MOST_LINKS):
        active = _try(nvml, "nvmlDeviceGetNvLinkState", handle, link)
        if active is None:
            return  # the first number past the last link is refused
        if not active:
            continue
        remote = _try(nvml, "nvmlDeviceGetNvLinkRemotePciInfo", handle, link)
        kind = _try(nvml, "nvmlDeviceGetNvLinkRemoteDeviceType", handle, link)
        own = _field(nvml, handle, f"L{link}")
        yield {
            "link": link,
            "mbps": own or common,
            "remote": _REMOTE.get(kind) if kind is not None else None,
            "remote_bus_id": _text(getattr(remote, "busId", None)),
        }


def _field(nvml: Any, handle: Any, which: str) -> int | None:
    """Return the rate of one NVLink, or of all of them, in MB/s; None where the field is not supported."""
    number = getattr(nvml, f"NVML_FI_DEV_NVLINK_SPEED_MBPS_{which}", None)
    values = None if number is None else _try(nvml, "nvmlDeviceGetFieldValues", handle, [number])
    if not values or values[0].nvmlReturn != 0:
        return None
    return int(values[0].value.uiVal) or None


def _paths(nvml: Any, handles: dict[int, Any]) -> Iterator[dict[str, Any]]:
    for one, first in handles.items():
        for other, second in handles.items():
            if one < other:
                level = _try(nvml, "nvmlDeviceGetTopologyCommonAncestor", first, second)
                if level in _LEVELS and level:
                    yield {"from": one, "to": other, "level": _LEVELS[level]}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
