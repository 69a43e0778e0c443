"""From named cells to a device; every source translates its own labels to the names of ``--query-gpu``."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sage_infer_contracts.detecting.devices import Device
from sage_infer_contracts.detecting.text import pci_address, percent, size_bytes, whole
from sage_infer_contracts.devices import DeviceIds
from sage_infer_contracts.names import DType

from .health import judged
from .records import gpu_uuid

Fields = Mapping[str, str]
_NOTHING = re.compile(
    r"\[?(?:n/a|none|not supported|not available|unknown error|insufficient permissions|err!"
    r"|gpu is lost|gpu requires reset|requested functionality has been deprecated)\]?|-*|\?+",
    re.IGNORECASE,
)
_VERSION = re.compile(r"[0-9]{1,4}(?:\.[0-9]{1,4}){0,3}", re.ASCII)
_CAPABILITY = re.compile(r"[0-9]{1,2}\.[0-9]", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9][\w .,()/+-]{1,79}", re.ASCII)
_VIRTUAL = re.compile(r"(?:NVIDIA|GRID) .*\w-(?:[0-9]{1,2}-)?[0-9]{1,3}[ABCQ](?:ME)?", re.ASCII)
_FEATURES = {
    "compute_cap": "compute_capability",
    "mig.mode.current": "mig_mode",
    "ecc.mode.current": "ecc_mode",
}
_DTYPES_SINCE: tuple[tuple[tuple[int, int], tuple[DType, ...]], ...] = (
    ((8, 0), ("bf16",)),
    ((5, 3), ("fp16",)),
    ((0, 0), ("fp32",)),
    ((8, 9), ("fp8_e4m3", "fp8_e5m2")),
    ((6, 1), ("int8",)),
)
"""The compute capability from which a dtype has arithmetic instructions.

Source: CUDA C++ Programming Guide, tables of arithmetic throughput and of tensor-core types: half precision from 5.3,
dp4a on int8 from 6.1, bfloat16 tensor cores from 8.0, FP8 tensor cores from 8.9.
"""


def known(text: str | None) -> str | None:
    """Return a cell's text, or None where the tool says in any of its ways that it does not know."""
    stripped = (text or "").strip()
    return None if _NOTHING.fullmatch(stripped) else stripped


def device_of(
    fields: Fields, *, units: Mapping[str, str] | None = None, nameless: bool = True
) -> Device | None:
    """Return the device that ``fields`` describe; None unless they have its UUID or its PCI address.

    ``units`` are those of bare numbers, from the titles of a table that prints none in its cells. Where ``nameless`` is
    false, a product's name is enough: the source has a line for each GPU, and was not asked who they are.
    """
    unit = units or {}
    ids = DeviceIds(
        index=whole(fields.get("index")),
        minor=whole(fields.get("minor_number")),
        uuid=gpu_uuid(fields.get("uuid")),
        bdf=pci_address(fields.get("pci.bus_id")),
    )
    name = product_name(fields.get("name"))
    if ids.uuid is None and ids.bdf is None and (nameless or name is None):
        return None
    health, reason = judged(fields)
    total = size_bytes(fields.get("memory.total"), unit=unit.get("memory.total"))
    return Device(
        ids=ids,
        name=name,
        memory_total_bytes=total or None,  # no GPU has 0 bytes: a tool that cannot read prints that
        memory_used_bytes=size_bytes(fields.get("memory.used"), unit=unit.get("memory.used")),
        utilisation_percent=percent(fields.get("utilization.gpu")),
        driver_version=version(fields.get("driver_version")),
        health=health,
        health_reason=reason,
        dtypes=dtypes_of(fields.get("compute_cap")),
        features=features_of(fields),
    )


def product_name(text: str | None) -> str | None:
    """Return a product's name; None for what cannot be one."""
    name = known(text)
    return name if name is not None and _NAME.fullmatch(name) else None


def is_virtual(name: str | None) -> bool:
    """Say whether this is the name of a vGPU in a guest, e.g. ``GRID T4-4C`` or ``NVIDIA A100-1-5CME``.

    Source of the form: NVIDIA's vGPU user guide, virtual GPU types: board, share of memory in GB, series A, B, C or Q.
    """
    return _VIRTUAL.fullmatch(name or "") is not None


def version(text: str | None) -> str | None:
    """Return a version such as ``590.48.01``."""
    word = (text or "").strip()
    return word if _VERSION.fullmatch(word) else None


def dtypes_of(compute_capability: str | None) -> tuple[DType, ...]:
    """Return what a GPU of this compute capability computes in, the preferred one first; nothing where unknown."""
    word = (compute_capability or "").strip()
    if not _CAPABILITY.fullmatch(word):
        return ()
    major, minor = map(int, word.split("."))
    return tuple(dtype for since, dtypes in _DTYPES_SINCE if (major, minor) >= since for dtype in dtypes)


def features_of(fields: Fields) -> tuple[str, ...]:
    """Return modes as ``name:value``, e.g. ``compute_capability:9.0`` and ``mig_mode:Enabled``."""
    found = ((name, known(fields.get(field))) for field, name in _FEATURES.items())
    return tuple(
        f"{name}:{value}"
        for name, value in found
        if value in ("Enabled", "Disabled") or (value and _CAPABILITY.fullmatch(value))
    )


def mig_enabled(device: Device) -> bool:
    """Say whether the GPU is divided into MIG devices."""
    return "mig_mode:Enabled" in device.features
