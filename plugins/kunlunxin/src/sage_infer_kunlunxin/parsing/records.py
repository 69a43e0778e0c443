"""What every reader returns, and the values that several formats share."""

from __future__ import annotations

import re
from collections.abc import Sequence

import attrs

from sage_infer_contracts.detecting.devices import Device
from sage_infer_contracts.detecting.text import size_bytes
from sage_infer_contracts.devices import Figure, HealthState

_UUID = re.compile(r"GPU-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_NO_UUID = re.compile(r"GPU-[0-]+")
_VERSION = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,6}){1,4}", re.ASCII)
_MIB = 2**20
_QUOTED_CHARS = 60
DIVIDED = "SR-IOV: divided into virtual functions"
"""A feature of a card that has virtual functions."""


@attrs.frozen(slots=True)
class Reading:
    """What one source shows: its devices, in its order, and the driver it names.

    ``attached`` is how many devices it says there are; ``torn`` are rows that begin like a device's and cannot be read.
    """

    devices: tuple[Device, ...] = ()
    driver: str | None = None
    attached: int | None = None
    torn: tuple[str, ...] = ()


def last_fragment(text: str) -> list[str]:
    """Return what stands behind the last line break: part of a line, which readers leave out."""
    tail = text[text.rfind("\n") + 1 :].strip() if "\n" in text else ""
    return [tail] if tail else []


def torn_row(line: str) -> str:
    """Return a row as a reason quotes it."""
    words = " ".join(line.replace("|", " ").split())
    return words if len(words) <= _QUOTED_CHARS else f"{words[:_QUOTED_CHARS]} ..."


def uuid(text: str | None) -> str | None:
    """Read a UUID; None for one that is not whole, and for one of zeros only, which names nobody.

    Kunlunxin's tool writes ``GPU-`` before it, as NVIDIA's does.
    """
    stripped = (text or "").strip()
    if not _UUID.fullmatch(stripped) or _NO_UUID.fullmatch(stripped):
        return None
    return f"GPU-{stripped[4:].lower()}"


def version(text: str | None) -> str | None:
    """Read ``5.0.21.47``; None for anything else."""
    match = _VERSION.fullmatch((text or "").strip())
    return match[0] if match else None


def some_bytes(text: str | None, unit: str | None = None) -> int | None:
    """Read a size of memory; None for 0, which is the size of none."""
    return size_bytes(text, unit=unit) or None


def used_bytes(text: str | None, total: int | None, unit: str | None = None) -> int | None:
    """Read how much is in use; None if that is more than there is."""
    used = size_bytes(text, unit=unit)
    return None if used is None or (total is not None and used > total) else used


def pair(text: str | None) -> tuple[int | None, int | None]:
    """Read ``0MiB / 98304MiB`` or ``504 / 8064 MB`` as bytes used and total; a unit after one is that of both."""
    used, slash, total = (text or "").partition("/")
    if not slash:
        return None, None
    unit = total.strip().lstrip("0123456789. ") or None
    in_all = some_bytes(total)
    return used_bytes(used, in_all, unit), in_all


def last_level(total: int | None, source: str) -> tuple[tuple[str, Figure], ...]:
    """Return the size of the chip's L3 memory as a figure."""
    if total is None:
        return ()
    return (("l3_memory", Figure(value=total / _MIB, unit="MiB", source=source)),)


def from_ecc(uncorrectable: int | None) -> tuple[HealthState, str | None]:
    """Return what the tool's count of uncorrectable ECC errors since the driver was loaded says of a card."""
    if uncorrectable is None:
        return "unknown", None
    if uncorrectable:
        return "degraded", f"{uncorrectable} uncorrectable ECC errors since the driver was loaded"
    return "ok", "its tool counts no ECC error"


def once(devices: Sequence[Device]) -> tuple[Device, ...]:
    """Return each device once, and without a UUID that another device has as well: it identifies neither.

    Output may come twice; who is who follows from address, index, node and the tool's key for dies.
    """
    seen: dict[tuple[object, ...], Device] = {}
    for one in devices:
        place: tuple[object, ...] = (one.ids.bdf, one.ids.minor, one.ids.index, one.key)
        seen.setdefault((one.ids.uuid,) if place == (None,) * 4 else place, one)
    kept = tuple(seen.values())
    names = [one.ids.uuid for one in kept]
    return tuple(
        attrs.evolve(one, ids=one.ids.model_copy(update={"uuid": None}))
        if one.ids.uuid is not None and names.count(one.ids.uuid) > 1
        else one
        for one in kept
    )
