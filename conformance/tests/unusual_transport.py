"""Correct transports that do not work as the reference does: no rule may speak against them."""

from __future__ import annotations

import ctypes
import time
import uuid
import zlib
from collections.abc import Sequence

import attrs

from sage_infer_conformance.kinds.transport.reference import ReferenceTransport, Transfer
from sage_infer_conformance.kinds.transport.reference_receiver import (
    Lease,
    Receiver,
    is_within,
    overlaps,
    steps,
)
from sage_infer_conformance.kinds.transport.reference_wire import Channel, Refused
from sage_infer_contracts.devices import LinkProfile
from sage_infer_contracts.errors import BackendUnavailable, CapacityExceeded, InvalidRequest, Unsupported
from sage_infer_contracts.memory import MemoryRegion
from sage_infer_contracts.transport import TransferStatus, TransportPlan


class OneAtATime(ReferenceTransport):
    """Carries one transfer after the other, and tells of its end a little later."""

    busy = False

    def send(self, transfer: Transfer) -> TransferStatus:
        with self.changed:
            left_s = transfer.ends_at - time.monotonic()
            free = self.changed.wait_for(lambda: not self.busy or transfer.cancelled or self.closed, left_s)
            if transfer.cancelled:
                return TransferStatus(state="cancelled", reason="cancelled in the queue")
            if not free or self.closed:
                raise TimeoutError("its turn did not come")
            self.busy = True
        try:
            return super().send(transfer)
        finally:
            time.sleep(0.02)
            with self.changed:
                self.busy = False
                self.changed.notify_all()

    def cancel(self, handle: str) -> None:
        super().cancel(handle)
        with self.changed:
            self.changed.notify_all()

    def close(self) -> None:
        with self.changed:
            self.closed = True
            self.changed.notify_all()
        super().close()


class Staging(ReferenceTransport):
    """Takes everything in before it writes any of it, and writes it backwards."""

    class receiver_type(Receiver):  # noqa: N801
        def receive(self, channel: Channel, lease: Lease, regions: Sequence[MemoryRegion]) -> None:
            try:
                staged = [(address, channel.receive(nbytes)) for address, nbytes in steps(regions)]
                sent = int.from_bytes(channel.receive(4), "big")
            except EOFError:
                channel.send_message(dropped=True)
                raise
            checksum = 0
            for _, data in staged:
                checksum = zlib.crc32(data, checksum)
            if checksum != sent:
                raise Refused("the checksum is wrong")
            with self.lock:
                for address, data in reversed(staged):
                    self.write(lease, address, data)


class OpaqueHandles(ReferenceTransport):
    """Its handles tell nothing, and it asks the receiver before it takes a plan of an unknown lease."""

    def __init__(
        self, max_inflight_bytes: int = 1 << 26, credential: str = "", listen: str | None = None
    ) -> None:
        super().__init__(max_inflight_bytes, credential, listen)
        self.names: dict[str, str] = {}

    def submit(self, plan: TransportPlan) -> str:
        handle = uuid.uuid4().hex
        self.names[handle] = super().submit(plan)
        return handle

    def find(self, handle: str) -> Transfer:
        return super().find(self.names.get(handle, handle))

    def cancel(self, handle: str) -> None:
        super().cancel(self.names[handle])
        self.names[self.names[handle]] = self.names[handle]


class NeverCancelled(ReferenceTransport):
    """Cannot take bytes back: a transfer that is cancelled goes on to its end, whatever that is."""

    def cancel(self, handle: str) -> None:
        self.find(handle)


@attrs.define(slots=True, eq=False)
class Grant:
    generation: int
    regions: tuple[MemoryRegion, ...]
    ends_at: float
    over: bool = False


class CopiesAtOnce:
    """Reaches nobody but itself, and has copied everything when ``submit`` returns."""

    capabilities: frozenset[str] = frozenset()
    address = "here"

    def __init__(self, max_inflight_bytes: int, credential: str = "", listen: str | None = None) -> None:
        if listen is not None:
            raise Unsupported("nobody can reach it", capability="transport.remote")
        self.limit = max_inflight_bytes
        self.regions: dict[str, MemoryRegion] = {}
        self.grants: dict[str, Grant] = {}
        self.ended: dict[str, TransferStatus] = {}
        self.closed = False

    def register_memory(self, region: MemoryRegion) -> str:
        handle = str(len(self.regions))
        self.regions[handle] = region
        return handle

    def deregister_memory(self, handle: str) -> None:
        if handle not in self.regions:
            raise InvalidRequest(f"unknown region {handle}")
        live = [one for one in self.grants.values() if not one.over and time.monotonic() < one.ends_at]
        if any(overlaps(part, self.regions[handle]) for one in live for part in one.regions):
            raise InvalidRequest(f"{handle} is granted")
        self.regions[handle] = MemoryRegion(device="none", address=0, nbytes=1)

    def grant_lease(
        self, lease: str, generation: int, regions: Sequence[MemoryRegion], duration_s: float
    ) -> None:
        if lease in self.grants and generation <= self.grants[lease].generation:
            raise InvalidRequest("stale")
        self.require(regions)
        self.grants[lease] = Grant(generation, tuple(regions), time.monotonic() + duration_s)

    def revoke_lease(self, lease: str) -> None:
        if lease in self.grants:
            self.grants[lease].over = True

    def require(self, regions: Sequence[MemoryRegion]) -> None:
        if not all(any(is_within(part, whole) for whole in self.regions.values()) for part in regions):
            raise InvalidRequest("not registered")

    def submit(self, plan: TransportPlan) -> str:
        if self.closed:
            raise BackendUnavailable("closed")
        if plan.destination != self.address:
            raise Unsupported("nobody else is reached", capability="transport.remote")
        if plan.transfer_id in self.ended:
            raise InvalidRequest("taken")
        nbytes = sum(part.nbytes for part in plan.source)
        if nbytes > self.limit:
            raise CapacityExceeded("too large")
        self.require(plan.source)
        self.ended[plan.transfer_id] = self.copied(plan, nbytes)
        return plan.transfer_id

    def copied(self, plan: TransportPlan, nbytes: int) -> TransferStatus:
        grant = self.grants.get(plan.lease)
        if (
            grant is None
            or grant.generation != plan.generation
            or grant.over
            or time.monotonic() >= grant.ends_at
        ):
            return TransferStatus(state="failed", reason="no lease")
        if not all(
            any(is_within(part, whole) for whole in grant.regions) for part in plan.destination_regions
        ):
            return TransferStatus(state="failed", reason="other memory")
        grant.over = True
        data = b"".join(ctypes.string_at(part.address, part.nbytes) for part in plan.source)
        for part in plan.destination_regions:
            ctypes.memmove(part.address, data[: part.nbytes], part.nbytes)
            data = data[part.nbytes :]
        return TransferStatus(state="done", bytes_moved=nbytes)

    def poll(self, handles: Sequence[str]) -> list[TransferStatus]:
        return [self.ended[handle] for handle in handles]

    def wait(self, handle: str, timeout_s: float) -> TransferStatus:
        return self.ended[handle]

    def cancel(self, handle: str) -> None:
        pass

    def link_profile(self, peer: str) -> LinkProfile:
        return LinkProfile(source="host", destination=peer, kind="memcpy")

    def close(self) -> None:
        self.closed = True
