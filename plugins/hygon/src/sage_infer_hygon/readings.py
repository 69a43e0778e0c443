"""From what the tools print of a card to a device: names, sizes, loads, identities; nothing where it is unknown."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sage_infer_contracts.detecting.devices import Device
from sage_infer_contracts.detecting.text import decimal, pci_address, percent, size_bytes, whole
from sage_infer_contracts.devices import DeviceIds, Figure, HealthState
from sage_infer_contracts.probe import PciDevice

from .chips import chip_of
from .identity import unique_id
from .parsing.rocminfo import Agent
from .parsing.rows import Row

_DEVICE_ID = re.compile(r"(?:0x)?([0-9a-f]{4})", re.ASCII | re.IGNORECASE)
_UNIT = re.compile(r"vram total (used )?memory \(([a-z]{1,5})\)")
_NO_NAME = re.compile(r"(?:0x)?[0-9a-f]{1,8}|n/?a|none|unknown|[-?.\s]*", re.ASCII | re.IGNORECASE)
_UNKNOWN = frozenset({"", "-", "n/a", "na", "none", "unknown", "err!", "[not supported]", "not supported"})
_ADDRESSES = ("pci bus", "bus", "bus id")
_NAMES = ("card series", "card model", "marketing name", "product name")
_LOADS = ("hcu use (%)", "dcu use (%)", "gpu use (%)", "hcu%", "dcu%", "gpu%")
_HEALTH: Mapping[str, HealthState] = {
    "healthy": "ok",
    "warning": "degraded",
    "critical": "failed",
    "unhealthy": "failed",
    "failed": "failed",
}
_FIGURES = (
    ("temperature", "C", ("temperature (sensor junction) (c)", "temperature (sensor edge) (c)", "temp")),
    ("power", "W", ("average graphics package power (w)", "avgpwr")),
    ("power_cap", "W", ("max graphics package power (w)", "pwrcap")),
    ("memory_used_percent", "%", ("hcu memory use (%)", "dcu memory use (%)", "gpu memory use (%)", "vram%")),
)
"""Names of figures, units, and what the tools call them: with the unit in the title, or behind the number."""


def from_row(row: Row) -> Device:
    """Return what a tool's row says of a card."""
    values = row.values
    name = next((word for key in _NAMES if (word := _name(values.get(key)))), None)
    spec = chip_of(device_id(values), name)
    health, reason = _health(values)
    return Device(
        ids=DeviceIds(
            index=row.index,
            uuid=unique_id(values.get("unique id")),
            bdf=address_of(row),
        ),
        name=name,
        memory_total_bytes=_memory(values, used=False) or size_bytes(values.get("global memory")) or None,
        memory_used_bytes=_memory(values, used=True),
        utilisation_percent=next(
            (load for key in _LOADS if (load := percent(values.get(key))) is not None), None
        ),
        compute_units=whole(values.get("compute units")) or None,
        health=health,
        health_reason=reason,
        dtypes=spec.dtypes if spec else (),
        figures=(*_measured(values), *(spec.described() if spec else ())),
    )


def from_agent(agent: Agent) -> Device:
    """Return what the HSA runtime says of a card."""
    spec = chip_of(agent.chip_id)
    return Device(
        ids=DeviceIds(uuid=unique_id(agent.uuid), bdf=agent.bdf),
        name=agent.name,
        memory_total_bytes=agent.memory_bytes,
        compute_units=agent.compute_units,
        dtypes=spec.dtypes if spec else (),
        figures=spec.described() if spec else (),
        features=(agent.architecture,) if agent.architecture else (),
    )


def from_card(card: PciDevice) -> Device:
    """Return what the bus says of a card: its address, its NUMA node, and which chip has its device id."""
    spec = chip_of(card.device)
    node = card.numa_node
    return Device(
        ids=DeviceIds(bdf=card.bdf),
        name=spec.name if spec else None,
        numa_node=node if node is not None and node >= 0 else None,
        dtypes=spec.dtypes if spec else (),
        figures=spec.described() if spec else (),
    )


def device_id(values: Mapping[str, str]) -> str | None:
    """Return the PCI device id that a tool prints, four hexadecimal digits in lower case."""
    match = _DEVICE_ID.fullmatch((values.get("device id") or values.get("did") or "").strip())
    return match[1].lower() if match else None


def address_of(row: Row) -> str | None:
    """Return a card's PCI address. Newer tools print serial numbers behind it."""
    said = next((words for key in _ADDRESSES if (words := row.values.get(key, "").split())), None)
    return pci_address(said[0]) if said else None


def in_slices(row: Row) -> bool:
    """Say whether a card is cut into instances: its mode is MIG."""
    return row.values.get("mode", "").strip().upper() == "MIG"


def _name(text: str | None) -> str | None:
    word = " ".join((text or "").split())
    return None if _NO_NAME.fullmatch(word) else word


def _memory(values: Mapping[str, str], *, used: bool) -> int | None:
    for key, value in values.items():
        match = _UNIT.fullmatch(key)
        if match is not None and bool(match[1]) == used:
            return size_bytes(value, unit=match[2])
    return None


def _measured(values: Mapping[str, str]) -> tuple[tuple[str, Figure], ...]:
    found = []
    for name, unit, keys in _FIGURES:
        read = (_quantity(values.get(key), unit, bare="(" in key) for key in keys)
        value = next((one for one in read if one is not None), None)
        if value is not None:
            found.append((name, Figure(value=value, unit=unit, source="measured")))
    return tuple(found)


def _quantity(text: str | None, unit: str, *, bare: bool) -> float | None:
    """Read ``43.0C``; without its unit it was cut short, unless the title has the unit (``bare``)."""
    word = (text or "").strip().upper()
    return decimal(word, unit) if bare or word.endswith(unit) else None


def _health(values: Mapping[str, str]) -> tuple[HealthState, str | None]:
    """Say what ``--healthcheck`` says; a card that is listed with nothing but unknown values does not answer."""
    _, _, word = values.get("bus id", "").rpartition(" : ")
    if state := _HEALTH.get(word.strip().lower()):
        return state, None if state == "ok" else f"hy-smi --healthcheck says {word.strip()}"
    readings = [values[key] for key in ("temp", "avgpwr", "vram%", *_LOADS) if key in values]
    if len(readings) >= 3 and all(word.strip().lower() in _UNKNOWN for word in readings):
        return "degraded", "the tool lists the card and reads nothing from it"
    return "unknown", None
