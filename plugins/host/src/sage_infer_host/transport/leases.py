"""Which memory peers may write, for how long, and once."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import attrs

from sage_infer_contracts.errors import InvalidRequest
from sage_infer_contracts.memory import MemoryRegion

from .wire import Refused

_KEPT = 4096


@attrs.define(slots=True, eq=False)
class Lease:
    """One grant. ``on_end`` is called once when it ends while a transfer uses it."""

    generation: int
    regions: tuple[MemoryRegion, ...]
    ends_at: float
    taken: bool = False
    over: bool = False
    on_end: Callable[[], object] | None = None

    @property
    def live(self) -> bool:
        """Whether it may still be written under; by the monotonic clock."""
        return not self.over and time.monotonic() < self.ends_at


class LeaseTable:
    """Leases by name. Thread-safe: whoever ends a lease holds the lock that every write holds.

    The newest generation of an ended lease is remembered for the last 4096 of them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._leases: OrderedDict[str, Lease] = OrderedDict()

    def grant(self, name: str, generation: int, regions: Sequence[MemoryRegion], duration_s: float) -> None:
        """Grant a lease; ends its older generation. Raises ``InvalidRequest`` for a generation that is not newer."""
        with self._lock:
            known = self._leases.get(name)
            if known is not None:
                if generation <= known.generation:
                    message = f"lease {name!r} is at generation {known.generation}; {generation} is not newer"
                    raise InvalidRequest(message, param="generation")
                _end(known)
            self._leases[name] = Lease(generation, tuple(regions), time.monotonic() + duration_s)
            self._leases.move_to_end(name)
            self._forget_old()

    def revoke(self, name: str) -> None:
        """End a lease. On return nothing writes under it."""
        with self._lock:
            if name in self._leases:
                _end(self._leases[name])

    def revoke_all(self) -> None:
        """End every lease."""
        with self._lock:
            for lease in self._leases.values():
                _end(lease)

    def uses(self, region: MemoryRegion) -> bool:
        """Say whether a live lease is on memory of ``region``."""
        with self._lock:
            live = [lease for lease in self._leases.values() if lease.live]
            return any(overlap(part, region) for lease in live for part in lease.regions)

    def take(
        self, name: str, generation: int, regions: Sequence[MemoryRegion], on_end: Callable[[], object]
    ) -> Lease:
        """Use a lease up for one transfer into ``regions``; raises :class:`Refused`."""
        with self._lock:
            lease = self._leases.get(name)
            if lease is None or lease.generation != generation:
                raise Refused(f"generation {generation} of lease {name!r} is not granted")
            if lease.taken or not lease.live:
                raise Refused(f"lease {name!r} was used or has ended")
            if not all(any(within(part, whole) for whole in lease.regions) for part in regions):
                raise Refused(f"lease {name!r} is on other memory")
            lease.taken, lease.on_end = True, on_end
            return lease

    @contextmanager
    def writing(self, lease: Lease) -> Iterator[None]:
        """Hold off whoever would end ``lease`` for one short write; raises :class:`Refused` when it has ended."""
        with self._lock:
            if not lease.live:
                raise Refused("the lease has ended")
            yield

    def end(self, lease: Lease) -> None:
        """End a lease because its transfer has ended."""
        with self._lock:
            lease.on_end = None
            _end(lease)

    def _forget_old(self) -> None:
        ended = [name for name, lease in self._leases.items() if not lease.live]
        for name in ended[: max(0, len(ended) - _KEPT)]:
            del self._leases[name]


def _end(lease: Lease) -> None:
    lease.over = True
    on_end, lease.on_end = lease.on_end, None
    if on_end is not None:
        on_end()


def within(part: MemoryRegion, whole: MemoryRegion) -> bool:
    """Say whether ``part`` lies in ``whole``."""
    end = whole.address + whole.nbytes
    return part.device == whole.device and whole.address <= part.address and part.address + part.nbytes <= end


def overlap(one: MemoryRegion, other: MemoryRegion) -> bool:
    """Say whether two regions share a byte."""
    same_device = one.device == other.device
    return (
        same_device
        and one.address < other.address + other.nbytes
        and other.address < one.address + one.nbytes
    )
