"""Leases: prefilled sequences that hold their KV while they wait for decode."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

import attrs

from ..errors import InvalidRequest
from ..states import DecodeState, KVHandle


class Leased(Protocol):
    """A sequence that can be parked."""

    def named(self, request_id: str) -> bool:
        """Say whether ``request_id`` means this sequence, or the call it belongs to."""
        ...

    def matches(self, state: DecodeState) -> bool:
        """Say whether ``state`` describes this sequence as it is now."""
        ...


S = TypeVar("S", bound=Leased)


@attrs.frozen(slots=True)
class Lease(Generic[S]):
    """One parked sequence and the moment, on the table's clock, when it is given up."""

    sequence: S
    generation: int
    expires_at_s: float


class LeaseTable(Generic[S]):
    """IB-13 for one started backend. Thread-safe, and a lease leaves the table once."""

    def __init__(self, lease_s: float, clock: Callable[[], float]) -> None:
        self.instance = uuid.uuid4().hex
        self._lease_s = lease_s
        self._clock = clock
        self._lock = threading.Lock()
        self._leases: dict[str, Lease[S]] = {}
        self._generation = 0

    def grant(self, sequence: S) -> KVHandle:
        """Park ``sequence`` and return the handle that takes it out again."""
        name, expires = uuid.uuid4().hex, self._clock() + self._lease_s
        with self._lock:
            self._generation += 1
            self._leases[name] = Lease(sequence, self._generation, expires)
            return KVHandle(
                instance=self.instance, generation=self._generation, lease=name, lease_expires_at_s=expires
            )

    def take(self, state: DecodeState) -> S:
        """Return the sequence of ``state`` and end its lease.

        Raises ``InvalidRequest`` for a state of another instance, one that was used, has expired or was
        cancelled, and for one that does not describe its KV; the lease of the last stays.
        """
        with self._lock:
            sequence = self._sequence(state)
            del self._leases[state.kv.lease]
        return sequence

    def look(self, state: DecodeState) -> S:
        """Return the sequence of ``state``, whose lease goes on; raises what :meth:`take` raises."""
        with self._lock:
            return self._sequence(state)

    def _sequence(self, state: DecodeState) -> S:
        """Return the sequence that ``state`` rightly names; the lock is held."""
        handle = state.kv
        if handle.instance != self.instance:
            raise _refusal(state, "its KV is in another instance, or in one from before a restart")
        lease = self._leases.get(handle.lease)
        if lease is None:
            raise _refusal(state, "its lease is over: it was decoded, released, cancelled or it expired")
        if lease.generation != handle.generation:
            raise _refusal(state, f"its generation {handle.generation} is not the lease's {lease.generation}")
        if not lease.sequence.matches(state):
            raise _refusal(state, "its tokens or parameters are not those its KV was computed for")
        if lease.expires_at_s <= self._clock():
            raise _refusal(state, f"its lease of {self._lease_s:g} s has expired; prefill again")
        return lease.sequence

    def take_request(self, request_id: str) -> list[S]:
        """End the leases of a request and return their sequences."""
        return self._pop(lambda lease: lease.sequence.named(request_id))

    def take_sequence(self, sequence: S) -> bool:
        """End the lease of ``sequence``; False if it has none."""
        return bool(self._pop(lambda lease: lease.sequence is sequence))

    def take_expired(self) -> list[S]:
        """End the leases that are over and return their sequences."""
        now = self._clock()
        return self._pop(lambda lease: lease.expires_at_s <= now)

    def next_expiry_s(self) -> float | None:
        """Return the seconds until the next lease ends (0 if one is over), None without leases."""
        with self._lock:
            if not self._leases:
                return None
            return max(0.0, min(lease.expires_at_s for lease in self._leases.values()) - self._clock())

    def _pop(self, over: Callable[[Lease[S]], bool]) -> list[S]:
        with self._lock:
            names = [name for name, lease in self._leases.items() if over(lease)]
            return [self._leases.pop(name).sequence for name in names]


def _refusal(state: DecodeState, reason: str) -> InvalidRequest:
    return InvalidRequest(f"state of request {state.request_id!r} cannot be used: {reason}", param="state")
