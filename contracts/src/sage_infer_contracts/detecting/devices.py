"""Devices as several sources show them, merged by the identities they share (HD-05)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from ..devices import AcceleratorDescriptor, DeviceIds, Figure, HealthState
from ..names import DType
from ..probe import PciDevice
from .chips import ChipSpec

_IDENTITIES = ("uuid", "bdf", "physical", "minor", "index")


@attrs.frozen(slots=True, kw_only=True)
class Device:
    """What one source says of one device; None: it says nothing. ``key`` tells dies at one PCI address apart."""

    ids: DeviceIds = attrs.field(factory=DeviceIds)
    key: str | None = None
    name: str | None = None
    chip: str | None = None
    memory_total_bytes: int | None = None
    memory_used_bytes: int | None = None
    utilisation_percent: float | None = None
    compute_units: int | None = None
    numa_node: int | None = None
    driver_version: str | None = None
    slice_of: str | None = None
    health: HealthState = "unknown"
    health_reason: str | None = None
    dtypes: tuple[DType, ...] = ()
    figures: tuple[tuple[str, Figure], ...] = ()
    features: tuple[str, ...] = ()

    def with_more(self, other: Device) -> Device:
        """Return this device with what only ``other`` knows; where both say something, this one stands."""
        ids = self.ids.model_copy(update=_missing(self.ids.model_dump(), other.ids.model_dump()))
        mine, theirs = attrs.asdict(self, recurse=False), attrs.asdict(other, recurse=False)
        for name in ("ids", "health", "health_reason", "figures"):
            del mine[name], theirs[name]
        # State and reason go together.
        judge = other if self.health == "unknown" != other.health else self
        return attrs.evolve(
            self,
            ids=ids,
            health=judge.health,
            health_reason=judge.health_reason,
            figures=tuple({**dict(other.figures), **dict(self.figures)}.items()),
            **_missing(mine, theirs),
        )

    def with_chip(self, spec: ChipSpec | None) -> Device:
        """Return this device as ``spec`` of its vendor's list names it, with the specified figures; None: unchanged."""
        if spec is None:
            return self
        return self.with_more(Device(chip=spec.name, dtypes=spec.dtypes, figures=spec.described()))

    def described(self, hardware_backend: str) -> AcceleratorDescriptor:
        """Return the device as a report has it."""
        facts = {name: value for name, value in attrs.asdict(self, recurse=False).items() if name != "key"}
        return AcceleratorDescriptor(
            hardware_backend=hardware_backend, **{**facts, "name": self.name or "unknown"}
        )


def _missing(mine: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in theirs.items()
        if mine[name] in (None, (), "unknown") and value not in (None, (), "unknown")
    }


def merged(first: Sequence[Device], second: Iterable[Device], *, add: bool = False) -> list[Device]:
    """Give each device of ``first`` what ``second`` knows of it, found by any identity that both name.

    Two devices are one if an identity is equal that no third device has, in the order UUID, PCI address, physical,
    minor, index, none that ranks before it differs, and neither do ``key`` and PCI address. With ``add``, devices only
    ``second`` shows come after the others; no two of them are taken for one.
    """
    found = list(first)
    for other in second:
        at = _place(found[: len(first)], other)
        if at is not None:
            found[at] = found[at].with_more(other)
        elif add:
            found.append(other)
    return found


def _place(devices: Sequence[Device], other: Device) -> int | None:
    possible = [at for at, one in enumerate(devices) if _may_be_one(one, other)]
    for name in _IDENTITIES:
        wanted = getattr(other.ids, name)
        if wanted is None:
            continue
        possible = [at for at in possible if getattr(devices[at].ids, name) in (None, wanted)]
        equal = [at for at in possible if getattr(devices[at].ids, name) == wanted]
        if len(equal) == 1:
            return equal[0]
        possible = equal or possible  # several have it: what ranks lower decides among them
    return None


def _may_be_one(one: Device, other: Device) -> bool:
    """Devices at two addresses are two, whatever else they say: some tools give every card the same UUID."""
    return all(
        mine is None or theirs is None or mine == theirs
        for mine, theirs in ((one.key, other.key), (one.ids.bdf, other.ids.bdf))
    )


def from_pci(functions: Iterable[PciDevice], names: dict[str, str] | None = None) -> list[Device]:
    """Return the PCI functions as devices: address and NUMA node, and a name for device ids in ``names``."""
    return [
        Device(
            ids=DeviceIds(bdf=one.bdf),
            name=(names or {}).get(one.device),
            numa_node=one.numa_node if one.numa_node is None or one.numa_node >= 0 else None,
        )
        for one in functions
    ]
