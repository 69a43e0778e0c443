"""``nvidia-smi -q``, its XML in schemas v11 to v13, ``/proc/driver/nvidia`` and NVML's reply, for generated GPUs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

from ..parsing.proc import ROOT
from .formats import DRIVER
from .gpus import Gpu, Mig

Tree = list[tuple[str, "str | Tree"]]
_WIDTH = 51


def query_text(gpus: Sequence[Gpu], *, driver: str = DRIVER, kernel: str = "Driver") -> str:
    """Return ``-q``; ``kernel`` is the word before the driver's version, ``KMD`` from 610 on."""
    head: Tree = [
        ("Timestamp", "Thu Jan  2 03:04:05 2026"),
        (f"{kernel} Version", driver),
        ("CUDA Version", "13.1"),
        ("Attached GPUs", str(len(gpus))),
    ]
    lines = ["", "==============NVSMI LOG==============", "", *_lines(head, 0)]
    for gpu in gpus:
        lines += [f"GPU {gpu.bus_id}", *_lines(_tree(gpu), 4), ""]
    return "".join(f"{line}\n" for line in lines)


def _lines(tree: Tree, indent: int) -> list[str]:
    found = []
    for label, value in tree:
        if isinstance(value, str):
            found.append(f"{' ' * indent}{label:<{_WIDTH - indent}}: {value}")
        else:
            found += [f"{' ' * indent}{label}", *_lines(value, indent + 4)]
    return found


def _memory(total: int, used: int, reserved: int = 0) -> Tree:
    free = total - used - reserved
    return [
        ("Total", f"{total} MiB"), ("Reserved", f"{reserved} MiB"), ("Used", f"{used} MiB"), ("Free", f"{free} MiB"),
    ]  # fmt: skip


def _tree(gpu: Gpu) -> Tree:
    ecc = "Enabled" if gpu.uncorrected is not None else "N/A"
    errors = "N/A" if gpu.uncorrected is None else str(gpu.uncorrected)
    busy = "N/A" if gpu.busy_percent is None else f"{gpu.busy_percent} %"
    mode = gpu.mig_mode.strip("[]")
    return [
        ("Product Name", gpu.name),
        ("Product Architecture", "Hopper"),
        ("MIG Mode", [("Current", mode), ("Pending", mode)]),
        *(("MIG Device", _mig_tree(one)) for one in gpu.migs),
        ("GPU UUID", gpu.uuid),
        ("Minor Number", str(gpu.minor)),
        ("GPU Recovery Action", "None"),
        ("PCI", [("Bus", f"0x{gpu.bdf[5:7].upper()}"), ("Bus Id", gpu.bus_id)]),
        ("Clocks Event Reasons", [("Idle", "Active"), ("HW Slowdown", "Not Active")]),
        ("FB Memory Usage", _memory(gpu.memory_mib, gpu.used_mib, 614)),
        ("BAR1 Memory Usage", _memory(262144, 1)),
        ("Utilization", [("GPU", busy), ("Memory", "0 %")]),
        ("ECC Mode", [("Current", ecc), ("Pending", ecc)]),
        ("ECC Errors", [("Volatile", [("SRAM Correctable", errors), ("DRAM Uncorrectable", errors)])]),
        (
            "Remapped Rows",
            [("Remapping Failure Occurred", "Yes" if gpu.remap_failure else "No"), ("Pending", "No")],
        ),
        ("Temperature", [("GPU Current Temp", "28 C")]),
        ("Processes", "None"),
    ]


def _mig_tree(one: Mig) -> Tree:
    return [
        ("Index", str(one.number)),
        ("GPU Instance ID", str(one.gpu_instance)),
        ("Compute Instance ID", str(one.compute_instance)),
        (
            "Device Attributes",
            [("Shared", [("Multiprocessor count", str(one.processors)), ("Copy Engine count", "3")])],
        ),
        ("Shared FB Memory Usage", _memory(one.memory_mib, one.used_mib)),
        ("Shared BAR1 Memory", _memory(59237, 0)),
    ]


def query_xml(gpus: Sequence[Gpu], *, schema: int = 12, driver: str = DRIVER) -> str:
    """Return ``-q -x``. Schema 11 has throttle reasons, 12 and later event reasons; 13 adds the recovery action."""
    body = [
        '<?xml version="1.0" ?>',
        f'<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v{schema}.dtd">',
        "<nvidia_smi_log>",
        f"\t<driver_version>{driver}</driver_version>",
        f"\t<attached_gpus>{len(gpus)}</attached_gpus>",
    ]
    for gpu in gpus:
        body += [f'\t<gpu id="{gpu.bus_id}">', *_elements(_xml_tree(gpu, schema), 2), "\t</gpu>"]
    return "".join(f"{line}\n" for line in [*body, "</nvidia_smi_log>"])


def _elements(tree: Tree, depth: int) -> list[str]:
    tab = "\t" * depth
    found = []
    for name, value in tree:
        if isinstance(value, str):
            found.append(f"{tab}<{name}>{escape(value)}</{name}>")
        else:
            found += [f"{tab}<{name}>", *_elements(value, depth + 1), f"{tab}</{name}>"]
    return found


def _xml_tree(gpu: Gpu, schema: int) -> Tree:
    word = "throttle" if schema < 12 else "event"
    ecc = "N/A" if gpu.uncorrected is None else "Enabled"
    errors = "N/A" if gpu.uncorrected is None else str(gpu.uncorrected)
    busy = "N/A" if gpu.busy_percent is None else f"{gpu.busy_percent} %"
    migs: str | Tree = "None" if not gpu.migs else [("mig_device", _mig_xml(one)) for one in gpu.migs]
    failure = "Yes" if gpu.remap_failure else "No"
    return [
        ("product_name", gpu.name),
        ("mig_mode", [("current_mig", gpu.mig_mode.strip("[]"))]),
        ("mig_devices", migs),
        ("uuid", gpu.uuid),
        ("minor_number", str(gpu.minor)),
        *([("gpu_recovery_action", "None")] if schema >= 13 else []),
        ("pci", [("pci_device_id", f"{gpu.pci_device.upper()}10DE"), ("pci_bus_id", gpu.bus_id)]),
        (f"clocks_{word}_reasons", [(f"clocks_{word}_reason_hw_slowdown", "Not Active")]),
        ("fb_memory_usage", [("total", f"{gpu.memory_mib} MiB"), ("used", f"{gpu.used_mib} MiB")]),
        ("bar1_memory_usage", [("total", "262144 MiB"), ("used", "1 MiB")]),
        ("utilization", [("gpu_util", busy), ("memory_util", "0 %")]),
        ("ecc_mode", [("current_ecc", ecc)]),
        ("ecc_errors", [("volatile", [("sram_uncorrectable", errors), ("dram_uncorrectable", errors)])]),
        ("remapped_rows", [("remapped_row_pending", "No"), ("remapped_row_failure", failure)]),
        ("temperature", [("gpu_temp", "28 C")]),
        ("processes", [("process_info", [("pid", "2165"), ("used_memory", "4096 MiB")])]),
    ]


def _mig_xml(one: Mig) -> Tree:
    return [
        ("index", str(one.number)),
        ("gpu_instance_id", str(one.gpu_instance)),
        ("compute_instance_id", str(one.compute_instance)),
        ("device_attributes", [("shared", [("multiprocessor_count", str(one.processors))])]),
        ("fb_memory_usage", [("total", f"{one.memory_mib} MiB"), ("used", f"{one.used_mib} MiB")]),
        ("bar1_memory_usage", [("total", "59237 MiB"), ("used", "0 MiB")]),
    ]


def proc_files(gpus: Sequence[Gpu], driver: str = DRIVER) -> dict[str, str]:
    """Return the files below ``/proc/driver/nvidia``."""
    files = {
        f"{ROOT}/gpus/{gpu.bdf}/information": (
            f"Model: \t\t {gpu.name}\nIRQ:   \t\t 331\nGPU UUID: \t {gpu.uuid}\nBus Type: \t PCIe\n"
            f"Bus Location: \t {gpu.bdf}\nDevice Minor: \t {gpu.minor}\nGPU Firmware: \t {driver}\nGPU Excluded:\t No\n"
        )
        for gpu in gpus
    }
    version = f"NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {driver}  Release Build  (builder)\n"
    return {**files, f"{ROOT}/version": f"{version}GCC version:  gcc version 13.3.0\n"}


def library_reply(
    gpus: Sequence[Gpu], *, links: int = 0, mbps: int = 26562, lost: Mapping[int, str] | None = None
) -> str:
    """Return what the probe script prints: ``links`` NVLinks of each GPU to switches, and GPUs that did not answer."""
    lost = lost or {}
    there = [gpu for gpu in gpus if gpu.index not in lost]
    return json.dumps(
        {
            "driver_version": DRIVER,
            "devices": [_facts(gpu, links, mbps) for gpu in there],
            "errors": [{"index": index, "error": why} for index, why in lost.items()],
            "paths": [
                {
                    "from": one.index,
                    "to": other.index,
                    "level": "NODE" if one.numa_node == other.numa_node else "SYS",
                }
                for one in there
                for other in there
                if one.index < other.index
            ],
        }
    )


def _facts(gpu: Gpu, links: int, mbps: int) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "index": gpu.index,
        "uuid": gpu.uuid,
        "name": gpu.name,
        "pci.bus_id": gpu.bus_id,
        "minor_number": gpu.minor,
        "compute_cap": gpu.compute_capability,
        "cuda_cores": gpu.cores,
        "memory_total_bytes": gpu.memory_mib * 2**20,
        "memory_used_bytes": gpu.used_mib * 2**20,
        "mig.mode.current": gpu.mig_mode,
        "nvlinks": [{"link": number, "mbps": mbps, "remote": "switch"} for number in range(links)],
    }
    if gpu.busy_percent is not None:
        facts["utilization.gpu"] = gpu.busy_percent
    if gpu.uncorrected is not None:
        facts |= {"ecc.mode.current": "Enabled", "ecc.errors.uncorrected.volatile.total": gpu.uncorrected}
    if gpu.migs:
        facts["slices"] = [
            {
                "number": one.number, "uuid": one.uuid(gpu), "name": f"{gpu.name} MIG {one.profile}",
                "gpu_instance": one.gpu_instance, "compute_instance": one.compute_instance,
                "multiprocessors": one.processors, "memory_total_bytes": one.memory_mib * 2**20,
                "memory_used_bytes": one.used_mib * 2**20,
            }
            for one in gpu.migs
        ]  # fmt: skip
    return facts
