"""What one source says: GPUs, their MIG slices, and devices that it names and could not read."""

from __future__ import annotations

import re
from collections.abc import Sequence

import attrs

from sage_infer_contracts.detecting.devices import Device
from sage_infer_contracts.devices import DeviceIds

_UUID = re.compile(r"(GPU|MIG)-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_BARE_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_OLD_MIG = re.compile(
    r"MIG-(GPU-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/([0-9]{1,3})/([0-9]{1,3})",
    re.ASCII | re.IGNORECASE,
)


@attrs.frozen(slots=True, kw_only=True)
class Slice:
    """One MIG device. ``number`` is its row below the GPU, ``parent`` whatever the source says of that GPU."""

    number: int
    parent: DeviceIds
    uuid: str | None = None
    profile: str | None = None
    instance: str | None = None
    """``GPU instance/compute instance``, as CUDA_VISIBLE_DEVICES spells it."""
    memory_total_bytes: int | None = None
    memory_used_bytes: int | None = None
    compute_units: int | None = None


@attrs.frozen(slots=True, kw_only=True)
class Reading:
    """What was read; nothing where the text is not what the source should print."""

    devices: tuple[Device, ...] = ()
    slices: tuple[Slice, ...] = ()
    driver_version: str | None = None


def gpu_uuid(text: str | None) -> str | None:
    """Read a GPU's UUID as ``GPU-`` and lower-case hex, or that of a Jetson's GPU, which has no ``GPU-``.

    None for anything else, such as ``GPU-????????-...``.
    """
    word = (text or "").strip()
    if _BARE_UUID.fullmatch(word):
        return word.lower()
    return f"GPU-{word[4:].lower()}" if _UUID.fullmatch(word) and word[:3].upper() == "GPU" else None


def mig_uuid(text: str | None) -> str | None:
    """Read a MIG device's UUID, in the form of its own or in that of drivers before 470, which names the GPU."""
    word = (text or "").strip()
    if _UUID.fullmatch(word) and word[:3].upper() == "MIG":
        return f"MIG-{word[4:].lower()}"
    old = _OLD_MIG.fullmatch(word)
    return f"MIG-GPU-{old[1][4:].lower()}/{old[2]}/{old[3]}" if old else None


def distinct(devices: Sequence[Device]) -> tuple[Device, ...]:
    """Return each device once: output that came twice shows no more than it did once.

    Some tools mask or lack UUIDs, so the address decides where there is one, else UUID and row together.
    """
    seen: dict[object, Device] = {}
    for device in devices:
        ids = device.ids
        seen.setdefault(ids.bdf or (ids.uuid, ids.index), device)
    return tuple(seen.values())


def distinct_slices(slices: Sequence[Slice]) -> tuple[Slice, ...]:
    """Return each slice once."""
    seen: dict[object, Slice] = {}
    for one in slices:
        parent = one.parent.bdf or (one.parent.uuid, one.parent.index)
        seen.setdefault((parent, one.number), one)
    return tuple(seen.values())
