"""Live utilisation of devices and logical reservation of them, over whatever detectors are installed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from sage_infer_contracts.devices import AcceleratorDescriptor, HealthState, MemoryTierSpec
from sage_infer_contracts.errors import CapacityExceeded, DeviceUnavailable
from sage_infer_contracts.wire import WireModel

from .. import env
from .detect import DEFAULT_TIMEOUT_S, Detection
from .detection_cache import DetectionCache
from .reservations import Hold, Reservation, ReservationBook, reserved_bytes

if TYPE_CHECKING:
    from sage_infer.plugins import Registry


class DeviceStatus(WireModel):
    """A device now. What the vendor's tool does not tell is null; nothing is derived from a specification."""

    device: str = Field(
        description="what a reservation names it by: UUID, PCI address, or hardware and number"
    )
    address: str | None = Field(default=None, description="PCI address")
    hardware_backend: str
    name: str
    memory_total_bytes: int | None = None
    memory_used_bytes: int | None = None
    reserved_bytes: int | None = Field(default=0, description="null: the whole device, its size unknown")
    utilisation_percent: float | None = None
    health: HealthState = "unknown"
    health_reason: str | None = None
    reservations: tuple[Reservation, ...] = ()

    @property
    def free_bytes(self) -> int | None:
        """Memory that no process uses, as measured."""
        if self.memory_total_bytes is None or self.memory_used_bytes is None:
            return None
        return max(0, self.memory_total_bytes - self.memory_used_bytes)

    @property
    def unreserved_bytes(self) -> int | None:
        """Memory that no process reserved, used or not."""
        if self.memory_total_bytes is None or self.reserved_bytes is None:
            return None
        return max(0, self.memory_total_bytes - self.reserved_bytes)


class MachineStatus(WireModel):
    """All devices and memory tiers, and how old the look at them is."""

    devices: tuple[DeviceStatus, ...] = ()
    memory_tiers: tuple[MemoryTierSpec, ...] = ()
    age_s: float = 0.0


class GPUManager:
    """Watches the devices of this machine and keeps a book of who reserved them.

    ``book`` is shared by the processes that ought to know of each other; by default those of one user. ``max_age_s`` is
    how old a look at the devices may be: every status says how old it is.
    """

    def __init__(
        self,
        *,
        book: Path | None = None,
        cache: DetectionCache | None = None,
        max_age_s: float = 5.0,
        registry: Registry | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> None:
        self._book = ReservationBook(book or env.cache_dir() / "reservations.json")
        self._cache = cache or DetectionCache()
        self._max_age_s = max_age_s
        self._registry = registry
        self._timeout_s = timeout_s

    def status(self, *, refresh: bool = False) -> MachineStatus:
        """Return every device's memory, load, health and reservations; blocks while detectors look."""
        found = self._cache.get(
            max_age_s=self._max_age_s, refresh=refresh, registry=self._registry, timeout_s=self._timeout_s
        )
        by_device: dict[str, list[Reservation]] = {}
        for entry in self._book.entries():
            by_device.setdefault(entry.device, []).append(entry)
        return MachineStatus(
            devices=tuple(
                _status(name, one, by_device) for name, one in named_devices(found.detection).items()
            ),
            memory_tiers=found.detection.profile.memory_tiers,
            age_s=found.age_s,
        )

    def reserve(
        self, device: str, nbytes: int | None = None, *, label: str = "", require_free: bool = True
    ) -> Hold:
        """Reserve ``nbytes`` of a device's memory, or the whole device, for this process.

        ``device`` is a UUID, a PCI address or a name from :meth:`status`. With ``require_free`` the bytes must also be
        unused now, as far as the vendor's tool tells; the look at it is then a fresh one. Raises ``DeviceUnavailable``
        for a device that is not here or has failed, and ``CapacityExceeded``.
        """
        status = self.status(refresh=require_free)
        names_of = {name: one for one in reversed(status.devices) for name in (one.address, one.device)}
        one = names_of.get(device)
        if one is None:
            names = ", ".join(one.device for one in status.devices) or "none"
            raise DeviceUnavailable(
                f"no device {device!r} is on this machine; there are {names}", reason="no_device"
            )
        if one.health == "failed":
            raise DeviceUnavailable(
                f"device {one.device} has failed: {one.health_reason or 'no reason given'}", reason="failed"
            )
        wanted = one.memory_total_bytes if nbytes is None else nbytes
        own_free = one.free_bytes
        if require_free and nbytes is not None and own_free is not None and nbytes > own_free:
            raise CapacityExceeded(
                f"device {one.device} has {own_free} bytes free of {one.memory_total_bytes}; {wanted} are asked for"
            )
        entry = self._book.add(one.device, nbytes, total_bytes=one.memory_total_bytes, label=label)
        return Hold(self._book, entry)

    def reservations(self) -> tuple[Reservation, ...]:
        """Return what is reserved now, by processes that are alive."""
        return self._book.entries()


def named_devices(detection: Detection) -> dict[str, AcceleratorDescriptor]:
    """Return the accelerators by a name that stays: UUID, else PCI address, else hardware and number.

    Where two have the same UUID, as some tools give every card, their addresses name them.
    """
    accelerators = detection.profile.accelerators
    uuids = [one.ids.uuid for one in accelerators]
    named: dict[str, AcceleratorDescriptor] = {}
    for place, one in enumerate(accelerators):
        number = place if one.ids.index is None else one.ids.index
        unique = one.ids.uuid if uuids.count(one.ids.uuid) == 1 else None
        names = (unique, one.ids.bdf, f"{one.hardware_backend}:{number}", f"{one.hardware_backend}:#{place}")
        named[next(name for name in names if name is not None and name not in named)] = one
    return named


def _status(name: str, one: AcceleratorDescriptor, by_device: dict[str, list[Reservation]]) -> DeviceStatus:
    return DeviceStatus(
        device=name,
        address=one.ids.bdf,
        hardware_backend=one.hardware_backend,
        name=one.name,
        memory_total_bytes=one.memory_total_bytes,
        memory_used_bytes=one.memory_used_bytes,
        reserved_bytes=reserved_bytes(by_device, name, one.memory_total_bytes),
        utilisation_percent=one.utilisation_percent,
        health=one.health,
        health_reason=one.health_reason,
        reservations=tuple(by_device.get(name, ())),
    )
