"""The reply of the probe script :mod:`sage_infer_cuda.nvml`, read with the same distrust as any other text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from sage_infer_contracts.detecting.text import pci_address
from sage_infer_contracts.devices import Figure

from .fields import device_of, version
from .records import Reading, Slice, distinct, distinct_slices, mig_uuid

MODULE = "sage_infer_cuda.nvml"
CALL = "devices"
_TEXTS = (
    "uuid", "name", "pci.bus_id", "compute_cap", "mig.mode.current", "ecc.mode.current", "retired_pages.pending",
    "remapped_rows.pending", "remapped_rows.failure", "clocks_event_reasons.hw_slowdown",
    "clocks_event_reasons.hw_thermal_slowdown", "clocks_event_reasons.hw_power_brake_slowdown",
)  # fmt: skip
_NUMBERS = ("index", "minor_number", "utilization.gpu", "ecc.errors.uncorrected.volatile.total")


@attrs.frozen(slots=True, kw_only=True)
class LibraryReading:
    """Devices, GPUs that did not answer in words, and how those that did are connected, by NVML's numbers."""

    reading: Reading = attrs.field(factory=Reading)
    lost: tuple[str, ...] = ()
    paths: Mapping[tuple[int, int], str] = attrs.field(factory=dict)
    nvlinks: Mapping[int, tuple[Mapping[str, Any], ...]] = attrs.field(factory=dict)


def read_reply(reply: Mapping[str, Any]) -> LibraryReading:
    """Read a reply; what is not of the type that it should be is not there."""
    driver = version(_text(reply.get("driver_version")))
    devices, slices = [], []
    nvlinks: dict[int, tuple[Mapping[str, Any], ...]] = {}
    for facts in _objects(reply.get("devices")):
        device = device_of({**_fields(facts), "driver_version": driver or ""}, nameless=False)
        if device is None:
            continue
        cores = _number(facts.get("cuda_cores"))
        device = attrs.evolve(
            device,
            memory_total_bytes=_number(facts.get("memory_total_bytes")) or None,
            memory_used_bytes=_number(facts.get("memory_used_bytes")),
            figures=() if not cores else (("cuda_cores", Figure(value=cores, unit="1", source="NVML")),),
        )
        devices.append(device)
        slices += [one for each in _objects(facts.get("slices")) if (one := _slice(each, device)) is not None]
        if device.ids.index is not None:
            nvlinks.setdefault(device.ids.index, _objects(facts.get("nvlinks")))
    return LibraryReading(
        reading=Reading(devices=distinct(devices), slices=distinct_slices(slices), driver_version=driver),
        lost=tuple(_errors(reply)),
        paths=_paths(reply),
        nvlinks=nvlinks,
    )


def nvlink_pairs(library: LibraryReading) -> dict[tuple[int, int], tuple[int, float | None]]:
    """Return how many NVLinks each pair of GPUs has, and the GB/s of one where all have the same.

    Links to switches reach every other GPU that has such links, as the tool's ``NVn`` counts them.
    """
    by_address = {device.ids.bdf: device.ids.index for device in library.reading.devices}
    direct: dict[tuple[int, int], list[float | None]] = {}
    switched: dict[int, list[float | None]] = {}
    for index, links in library.nvlinks.items():
        for link in links:
            rate = _number(link.get("mbps"))
            gbps = None if not rate else rate / 1000
            other = by_address.get(pci_address(_text(link.get("remote_bus_id"))))
            if link.get("remote") == "switch":
                switched.setdefault(index, []).append(gbps)
            elif other is not None and other > index:
                direct.setdefault((index, other), []).append(gbps)
    for one, first in switched.items():
        for other, second in switched.items():
            if one < other:
                direct.setdefault((one, other), min(first, second, key=len))
    return {pair: (len(rates), _same(rates)) for pair, rates in direct.items()}


def _same(rates: Sequence[float | None]) -> float | None:
    return rates[0] if len(set(rates)) == 1 else None


def _fields(facts: Mapping[str, Any]) -> dict[str, str]:
    texts = {name: _text(facts.get(name)) for name in _TEXTS}
    numbers = {name: _number(facts.get(name)) for name in _NUMBERS}
    return {name: str(value) for name, value in {**texts, **numbers}.items() if value is not None}


def _slice(facts: Mapping[str, Any], device: Any) -> Slice | None:
    number = _number(facts.get("number"))
    if number is None:
        return None
    instances = [_number(facts.get(name)) for name in ("gpu_instance", "compute_instance")]
    profile = (_text(facts.get("name")) or "").partition(" MIG ")[2]
    return Slice(
        number=number,
        parent=device.ids,
        uuid=mig_uuid(_text(facts.get("uuid"))),
        profile=profile or None,
        instance=None if None in instances else "/".join(map(str, instances)),
        memory_total_bytes=_number(facts.get("memory_total_bytes")) or None,
        memory_used_bytes=_number(facts.get("memory_used_bytes")),
        compute_units=_number(facts.get("multiprocessors")) or None,
    )


def _errors(reply: Mapping[str, Any]) -> Iterator[str]:
    for one in _objects(reply.get("errors")):
        yield f"GPU {_number(one.get('index'))}: {_text(one.get('error')) or 'does not answer'}"


def _paths(reply: Mapping[str, Any]) -> dict[tuple[int, int], str]:
    found: dict[tuple[int, int], str] = {}
    for path in _objects(reply.get("paths")):
        one, other, level = _number(path.get("from")), _number(path.get("to")), _text(path.get("level"))
        if one is not None and other is not None and level and one < other:
            found.setdefault((one, other), level)
    return found


def _objects(value: object) -> tuple[Mapping[str, Any], ...]:
    return tuple(one for one in value if isinstance(one, dict)) if isinstance(value, list) else ()


def _text(value: object) -> str | None:
    return value[:200] if isinstance(value, str) else None


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
