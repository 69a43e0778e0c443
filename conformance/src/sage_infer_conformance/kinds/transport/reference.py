"""A small correct engine over TCP, to hold the rules against, and for broken ones to be made from."""

from __future__ import annotations

import ctypes
import socket
import threading
import time
import zlib
from collections.abc import Sequence

import attrs

from sage_infer_contracts.devices import Figure, LinkProfile
from sage_infer_contracts.errors import (
    BackendUnavailable,
    CapacityExceeded,
    DeadlineExceeded,
    InvalidRequest,
    Unsupported,
)
from sage_infer_contracts.memory import MemoryRegion
from sage_infer_contracts.transport import TransferStatus, TransportPlan

from .reference_receiver import Lease, Receiver, is_within, overlaps, steps
from .reference_wire import Channel, Refused, knock

_JOIN_S = 5.0
_CLOSED = "the engine was closed"
_PENDING = TransferStatus(state="pending")


@attrs.define(slots=True, eq=False)
class Transfer:
    """One transfer, as its sender sees it."""

    plan: TransportPlan
    nbytes: int
    ends_at: float
    status: TransferStatus = _PENDING
    cancelled: bool = False
    under_way: bool = False
    channel: Channel | None = None
    thread: threading.Thread | None = None

    @property
    def pending(self) -> bool:
        """Whether it has not ended."""
        return self.status.state == "pending"


class ReferenceTransport:
    """A thread for each transfer on either side. What has ended is remembered: it lives as long as a test."""

    receiver_type = Receiver

    def __init__(
        self, max_inflight_bytes: int = 64 * 1024 * 1024, credential: str = "", listen: str | None = None
    ) -> None:
        if not credential:
            raise InvalidRequest("an engine that others reach needs a credential", param="credential")
        self.credential = credential
        self.max_inflight_bytes = max_inflight_bytes
        self.regions: dict[str, MemoryRegion] = {}
        self.transfers: dict[str, Transfer] = {}
        self.changed = threading.Condition()
        self.closed = False
        self.moved_bytes, self.moved_s = 0, 0.0
        self._next_handle = 1
        self.receiver = self.receiver_type(credential, listen)

    @property
    def capabilities(self) -> frozenset[str]:
        """Reaches other processes."""
        return frozenset({"transport.remote"})

    @property
    def address(self) -> str:
        """``host:port``."""
        return self.receiver.address

    def register_memory(self, region: MemoryRegion) -> str:
        """Make ``region`` usable."""
        if region.device != "cpu":
            raise Unsupported(f"memory of {region.device!r} is not moved", param="region")
        with self.changed:
            self._refuse_if_closed()
            handle = f"region-{self._next_handle}"
            self._next_handle += 1
            self.regions[handle] = region
            return handle

    def deregister_memory(self, handle: str) -> None:
        """Undo a registration."""
        with self.changed:
            if handle not in self.regions:
                raise InvalidRequest(f"no region is registered as {handle!r}", param="handle")
            if self.is_used(self.regions[handle]):
                raise InvalidRequest(f"{handle!r} is in use", param="handle")
            del self.regions[handle]

    def is_used(self, region: MemoryRegion) -> bool:
        """Say whether a transfer or a lease uses ``region``."""
        sources = [part for one in self.transfers.values() if one.pending for part in one.plan.source]
        return any(overlaps(part, region) for part in sources) or self.receiver.uses(region)

    def grant_lease(
        self, lease: str, generation: int, regions: Sequence[MemoryRegion], duration_s: float
    ) -> None:
        """Let one transfer write."""
        with self.changed:
            self._refuse_if_closed()
            self._refuse_unregistered(regions, "regions")
            self.receiver.grant(Lease(lease, generation, tuple(regions), time.monotonic() + duration_s))

    def revoke_lease(self, lease: str) -> None:
        """End a lease."""
        self.receiver.revoke(lease)

    def submit(self, plan: TransportPlan) -> str:
        """Start a thread that carries the plan out."""
        nbytes = sum(chunk.nbytes for chunk in plan.chunks)
        with self.changed:
            self._refuse_if_closed()
            self.check(plan, nbytes)
            transfer = Transfer(plan, nbytes, time.monotonic() + plan.deadline_s)
            self.transfers[plan.transfer_id] = transfer
            thread = threading.Thread(
                target=self.carry, args=(transfer,), name="reference-sender", daemon=True
            )
            transfer.thread = thread
            thread.start()
        return plan.transfer_id

    def check(self, plan: TransportPlan, nbytes: int) -> None:
        """Refuse what cannot be carried out."""
        if plan.transfer_id in self.transfers:
            raise InvalidRequest(f"{plan.transfer_id!r} was submitted before", param="transfer_id")
        self._refuse_unregistered(plan.source, "source")
        inflight = self.inflight_bytes()
        if inflight + nbytes > self.max_inflight_bytes:
            raise CapacityExceeded(f"{inflight} of {self.max_inflight_bytes} bytes are in flight")

    def inflight_bytes(self) -> int:
        """Return the bytes of transfers that have not ended."""
        return sum(one.nbytes for one in self.transfers.values() if one.pending)

    def poll(self, handles: Sequence[str]) -> list[TransferStatus]:
        """Return the states."""
        with self.changed:
            return [self.find(handle).status for handle in handles]

    def wait(self, handle: str, timeout_s: float) -> TransferStatus:
        """Block until the end."""
        with self.changed:
            transfer = self.find(handle)
            if not self.changed.wait_for(lambda: not transfer.pending, timeout_s):
                raise DeadlineExceeded(f"{handle} is pending after {timeout_s:g} s")
            return transfer.status

    def cancel(self, handle: str) -> None:
        """Stop sending; the receiver then drops what it has."""
        with self.changed:
            transfer = self.find(handle)
            transfer.cancelled = True
            if transfer.channel is not None:
                transfer.channel.end_sending()

    def link_profile(self, peer: str) -> LinkProfile:
        """Return the bandwidth of all transfers so far."""
        with self.changed:
            rate = self.moved_bytes / self.moved_s / 1e9 if self.moved_s else None
        bandwidth = None if rate is None else Figure(value=rate, unit="GB/s", source="measured")
        return LinkProfile(source="host", destination=peer, kind="tcp", bandwidth=bandwidth)

    def close(self) -> None:
        """End everything."""
        with self.changed:
            self.closed = True
            channels = [one.channel for one in self.transfers.values() if one.channel is not None]
            for channel in channels:
                channel.sever()
            threads = [one.thread for one in self.transfers.values() if one.thread is not None]
        self.receiver.close()
        for thread in threads:
            thread.join(_JOIN_S)

    def find(self, handle: str) -> Transfer:
        """Return a transfer."""
        if handle not in self.transfers:
            raise InvalidRequest(f"unknown transfer {handle!r}", param="handle")
        return self.transfers[handle]

    def _refuse_if_closed(self) -> None:
        if self.closed:
            raise BackendUnavailable(_CLOSED)

    def _refuse_unregistered(self, regions: Sequence[MemoryRegion], param: str) -> None:
        for part in regions:
            if not any(is_within(part, whole) for whole in self.regions.values()):
                raise InvalidRequest("a region is not in registered memory", param=param)

    # The sender of one transfer.

    def carry(self, transfer: Transfer) -> None:
        """Carry one transfer out, in a thread of its own."""
        began = time.monotonic()
        try:
            status = self.send(transfer)
        except (OSError, EOFError, Refused, ValueError) as error:
            why = _CLOSED if self.closed else f"{type(error).__name__}: {error}"
            status = TransferStatus(state="failed", reason=why)
        with self.changed:
            self.end(transfer, status)
            if status.state == "done":
                self.moved_bytes += transfer.nbytes
                self.moved_s += time.monotonic() - began

    def end(self, transfer: Transfer, status: TransferStatus) -> None:
        """Tell how a transfer ended."""
        if transfer.channel is not None:
            transfer.channel.close()
            transfer.channel = None
        transfer.status = status
        self.changed.notify_all()

    def send(self, transfer: Transfer) -> TransferStatus:
        """Connect, agree, and send; the receiver has the last word."""
        host, _, port = transfer.plan.destination.rpartition(":")
        left_s = max(0.001, transfer.ends_at - time.monotonic())
        connection = socket.create_connection((host, int(port)), timeout=left_s)
        channel = Channel(connection, transfer.ends_at)
        with self.changed:
            transfer.channel = channel
            if transfer.cancelled:
                channel.end_sending()
            if self.closed:
                channel.sever()
        try:
            self.knock(channel)
            self.send_header(channel, transfer)
            answer = channel.receive_message()
            if "refused" in answer:
                return TransferStatus(state="failed", reason=f"the receiver refused: {answer['refused']}")
            transfer.under_way = True
            self.send_bytes(channel, transfer)
        except (OSError, EOFError):
            if not transfer.cancelled:
                raise
            if not transfer.under_way:
                return TransferStatus(state="cancelled", reason="cancelled before anything was sent")
        return self.verdict(channel, transfer)

    def knock(self, channel: Channel) -> None:
        """Show the credential, and have the receiver show that it knows it."""
        knock(channel, self.credential)

    def send_header(self, channel: Channel, transfer: Transfer) -> None:
        """Tell what is about to come."""
        plan = transfer.plan
        channel.send_message(
            lease=plan.lease,
            generation=plan.generation,
            deadline_s=max(0.001, transfer.ends_at - time.monotonic()),
            regions=[region.model_dump() for region in plan.destination_regions],
        )

    def send_bytes(self, channel: Channel, transfer: Transfer) -> None:
        """Send the source and a checksum over it."""
        checksum = 0
        for address, nbytes in self.steps(transfer.plan.source):
            data = ctypes.string_at(address, nbytes)
            checksum = zlib.crc32(data, checksum)
            channel.send(data)
        channel.send(checksum.to_bytes(4, "big"))

    def steps(self, regions: Sequence[MemoryRegion]) -> list[tuple[int, int]]:
        """Return (address, bytes) in order."""
        return list(steps(regions))

    def verdict(self, channel: Channel, transfer: Transfer) -> TransferStatus:
        """Return what the receiver says of it all."""
        answer = channel.receive_message()
        if answer.get("done"):
            return TransferStatus(state="done", bytes_moved=transfer.nbytes)
        if transfer.cancelled and answer.get("dropped"):
            return TransferStatus(state="cancelled", reason="cancelled")
        return TransferStatus(
            state="failed", reason=f"the receiver refused: {answer.get('refused', 'it has gone')}"
        )
