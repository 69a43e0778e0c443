"""Broken transport engines."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Sequence
from contextlib import suppress

from sage_infer_contracts.errors import InvalidRequest
from sage_infer_contracts.memory import MemoryRegion
from sage_infer_contracts.transport import TransferStatus, TransportPlan

from ..kinds.transport.reference import ReferenceTransport, Transfer
from ..kinds.transport.reference_receiver import Lease, Receiver, is_within
from ..kinds.transport.reference_wire import Channel, Message, Refused, admit, knock
from .mutant import Ward

MUTANTS = Ward("transport")
_HOUR_S = 3600.0


# TE-01: what arrives.


@MUTANTS.add("TE-01", "copies whole words and forgets the tail of an odd size")
class DropsTail(ReferenceTransport):
    class receiver_type(Receiver):  # noqa: N801
        def write(self, lease: Lease, address: int, data: bytes) -> None:
            super().write(lease, address, data[: len(data) // 8 * 8])


@MUTANTS.add("TE-01", "fills the regions of the receiver in the order of their addresses, not of the plan")
class SortsRegions(ReferenceTransport):
    class receiver_type(Receiver):  # noqa: N801
        def take(self, header: Message, regions: list[MemoryRegion]) -> Lease:  # type: ignore[override]
            regions.sort(key=lambda region: region.address)
            return super().take(header, regions)


@MUTANTS.add("TE-01", "is done once the kernel has taken the bytes, whatever becomes of them")
class DoneWhenSent(ReferenceTransport):
    def verdict(self, channel: Channel, transfer: Transfer) -> TransferStatus:
        return TransferStatus(state="done", bytes_moved=transfer.nbytes)


@MUTANTS.add("TE-01", "a message of more than 64 KiB is read once, and the rest of it is lost")
class ReadsOnce(ReferenceTransport):
    class receiver_type(Receiver):  # noqa: N801
        def write(self, lease: Lease, address: int, data: bytes) -> None:
            super().write(lease, address, data[: 64 * 1024])


@MUTANTS.add("TE-01", "tells how far it came, and calls that done")
class PartlyDone(ReferenceTransport):
    def end(self, transfer: Transfer, status: TransferStatus) -> None:
        if transfer.under_way and status.state in ("cancelled", "failed"):
            status = TransferStatus(state="done", bytes_moved=transfer.nbytes // 2)
        super().end(transfer, status)


# TE-02: what a lease allows.


@MUTANTS.add("TE-02", "knows leases by their name and does not look at the generation")
class IgnoresGeneration(ReferenceTransport):
    class receiver_type(Receiver):  # noqa: N801
        def take(self, header: Message, regions: Sequence[MemoryRegion]) -> Lease:
            lease = self.leases.get(str(header["lease"]))
            return super().take({**header, "generation": lease.generation if lease else -1}, regions)


@MUTANTS.add("TE-02", "checks the lease when a transfer begins and never again: late bytes are written")
class ChecksOnce(ReferenceTransport):
    class receiver_type(Receiver):  # noqa: N801
        def write(self, lease: Lease, address: int, data: bytes) -> None:
            ctypes.memmove(address, data, len(data))


@MUTANTS.add("TE-02", "a lease serves again and again until it is revoked")
class NeverUsedUp(ReferenceTransport):
    class receiver_type(Receiver):  # noqa: N801
        def take(self, header: Message, regions: Sequence[MemoryRegion]) -> Lease:
            lease = super().take(header, regions)
            again = Lease(lease.name, lease.generation, lease.regions, lease.ends_at)
            self.leases[lease.name] = again
            return lease


class _Timeless(Lease):
    @property
    def ended(self) -> bool:
        return self.revoked


@MUTANTS.add("TE-02", "a lease has no end of its own")
class NoExpiry(ReferenceTransport):
    class receiver_type(Receiver):  # noqa: N801
        def grant(self, lease: Lease) -> None:
            super().grant(_Timeless(lease.name, lease.generation, lease.regions, lease.ends_at))


@MUTANTS.add("TE-02", "whoever has a lease may write anywhere")
class WritesAnywhere(ReferenceTransport):
    class receiver_type(Receiver):  # noqa: N801
        def take(self, header: Message, regions: Sequence[MemoryRegion]) -> Lease:
            return super().take(header, ())


@MUTANTS.add("TE-02", "an older generation can be granted again")
class GrantsOlder(ReferenceTransport):
    class receiver_type(Receiver):  # noqa: N801
        def grant(self, lease: Lease) -> None:
            self.revoke(lease.name)
            self.leases[lease.name] = lease


@MUTANTS.add("TE-02", "revoking stops who has not begun, and not who is writing")
class RevokesTheUntaken(ReferenceTransport):
    class receiver_type(Receiver):  # noqa: N801
        def revoke(self, name: str) -> None:
            if name in self.leases and not self.leases[name].taken:
                super().revoke(name)


@MUTANTS.add("TE-02", "a plan that was submitted before is carried out once more")
class TakesRepeats(ReferenceTransport):
    def check(self, plan: TransportPlan, nbytes: int) -> None:
        before = self.transfers.pop(plan.transfer_id, None)
        if before is not None:
            self.transfers[f"{plan.transfer_id}, before"] = before
        super().check(plan, nbytes)


@MUTANTS.add("TE-02", "says cancelled at once and goes on writing")
class CancelIsAWord(ReferenceTransport):
    def cancel(self, handle: str) -> None:
        with self.changed:
            transfer = self.find(handle)
            if transfer.pending:
                transfer.status = TransferStatus(state="cancelled", reason="cancelled")
                self.changed.notify_all()

    def end(self, transfer: Transfer, status: TransferStatus) -> None:
        super().end(transfer, status if transfer.pending else transfer.status)


# TE-03: how it ends.


@MUTANTS.add("TE-03", "waits for a silent peer as long as it takes")
class NoDeadline(ReferenceTransport):
    def send(self, transfer: Transfer) -> TransferStatus:
        transfer.ends_at += _HOUR_S
        return super().send(transfer)


@MUTANTS.add("TE-03", "forgets a transfer that is cancelled, and its handle never ends")
class CancelForgets(ReferenceTransport):
    def end(self, transfer: Transfer, status: TransferStatus) -> None:
        super().end(transfer, transfer.status if transfer.cancelled else status)


@MUTANTS.add("TE-03", "a lease whose sender died stays in use")
class DeadSenderHolds(ReferenceTransport):
    class receiver_type(Receiver):  # noqa: N801
        def __init__(self, credential: str, listen: str | None) -> None:
            self.busy: dict[str, Lease] = {}
            super().__init__(credential, listen)

        def uses(self, region: MemoryRegion) -> bool:
            busy = [part for lease in self.busy.values() for part in lease.regions]
            return super().uses(region) or any(is_within(part, region) for part in busy)

        def receive(self, channel: Channel, lease: Lease, regions: Sequence[MemoryRegion]) -> None:
            self.busy[lease.name] = lease
            super().receive(channel, lease, regions)
            del self.busy[lease.name]


@MUTANTS.add("TE-03", "the source of a transfer that failed stays in use")
class FailedSourceHeld(ReferenceTransport):
    def is_used(self, region: MemoryRegion) -> bool:
        failed = [one for one in self.transfers.values() if one.status.state in ("failed", "cancelled")]
        return super().is_used(region) or any(is_within(p, region) for one in failed for p in one.plan.source)


@MUTANTS.add("TE-03", "close ends the connections and leaves those who wait")
class CloseForgetsWaiters(ReferenceTransport):
    def end(self, transfer: Transfer, status: TransferStatus) -> None:
        if not self.closed:
            super().end(transfer, status)


@MUTANTS.add("TE-03", "wait gives back what it has when the time is up, as if that were an answer")
class WaitGivesUp(ReferenceTransport):
    def wait(self, handle: str, timeout_s: float) -> TransferStatus:
        with self.changed:
            transfer = self.find(handle)
            self.changed.wait_for(lambda: not transfer.pending, timeout_s)
            return transfer.status


# TE-04: how much at once.


@MUTANTS.add("TE-04", "compares each plan with the limit, and never their sum")
class LooksAtOnePlan(ReferenceTransport):
    def inflight_bytes(self) -> int:
        return 0


@MUTANTS.add("TE-04", "limits the number of transfers, not their bytes")
class CountsTransfers(ReferenceTransport):
    def check(self, plan: TransportPlan, nbytes: int) -> None:
        super().check(plan, 0)

    def inflight_bytes(self) -> int:
        pending = sum(one.pending for one in self.transfers.values())
        return 0 if pending < 1000 else self.max_inflight_bytes + 1


@MUTANTS.add("TE-04", "does not count down when a transfer is cancelled or fails")
class CountsTheDead(ReferenceTransport):
    def inflight_bytes(self) -> int:
        return sum(one.nbytes for one in self.transfers.values() if one.status.state != "done")


@MUTANTS.add("TE-04", "submit waits until there is room")
class WaitsForRoom(ReferenceTransport):
    def check(self, plan: TransportPlan, nbytes: int) -> None:
        room = self.max_inflight_bytes - nbytes
        self.changed.wait_for(lambda: self.inflight_bytes() <= room, plan.deadline_s)
        super().check(plan, nbytes)


@MUTANTS.add("TE-04", "calls a full queue a malformed request")
class WrongError(ReferenceTransport):
    def check(self, plan: TransportPlan, nbytes: int) -> None:
        if self.inflight_bytes() + nbytes > self.max_inflight_bytes:
            raise InvalidRequest("too many bytes", param="chunks")
        super().check(plan, nbytes)


# TE-05: who may.


@MUTANTS.add("TE-05", "tells the sender nothing of a wrong proof, and serves it")
class ServesEveryone(ReferenceTransport):
    class receiver_type(Receiver):  # noqa: N801
        def admit(self, channel: Channel) -> None:
            try:
                admit(channel, self.credential)
            except Refused:
                channel.send(bytes(32))

    def knock(self, channel: Channel) -> None:
        with suppress(Refused):
            knock(channel, self.credential)


@MUTANTS.add("TE-05", "uses the first eight characters of the credential, as an old protocol did")
class ShortCredential(ReferenceTransport):
    def __init__(self, credential: str = "", **options: object) -> None:
        super().__init__(credential=credential[:8], **options)  # type: ignore[arg-type]


@MUTANTS.add("TE-05", "trims and lowers the credential before it compares")
class LenientCredential(ReferenceTransport):
    def __init__(self, credential: str = "", **options: object) -> None:
        super().__init__(credential=credential.strip().lower(), **options)  # type: ignore[arg-type]


@MUTANTS.add("TE-05", "is open to all when no credential is configured")
class OpenByDefault(ReferenceTransport):
    def __init__(self, credential: str = "", **options: object) -> None:
        super().__init__(credential=credential or "default", **options)  # type: ignore[arg-type]


# TE-06: one among many.


@MUTANTS.add("TE-06", "all connections share one cursor into memory")
class SharedCursor(ReferenceTransport):
    class receiver_type(Receiver):  # noqa: N801
        cursor = 0

        def write(self, lease: Lease, address: int, data: bytes) -> None:
            self.cursor = address
            time.sleep(0.0005)
            super().write(lease, self.cursor, data)


@MUTANTS.add("TE-06", "cancelling one cancels all that go to the same peer")
class CancelsAll(ReferenceTransport):
    def cancel(self, handle: str) -> None:
        with self.changed:
            peer = self.find(handle).plan.destination
            for name, transfer in self.transfers.items():
                if transfer.pending and transfer.plan.destination == peer:
                    super().cancel(name)


@MUTANTS.add("TE-06", "one that is refused takes all others of its peer with it")
class OneFailsAll(ReferenceTransport):
    def end(self, transfer: Transfer, status: TransferStatus) -> None:
        super().end(transfer, status)
        if status.state == "failed":
            for other in self.transfers.values():
                if other.pending and other.channel is not None:
                    other.channel.sever()


@MUTANTS.add("TE-06", "poll answers in the order in which transfers end")
class PollsInOrderOfEnd(ReferenceTransport):
    def poll(self, handles: Sequence[str]) -> list[TransferStatus]:
        order = ("done", "failed", "cancelled", "pending")
        return sorted(super().poll(handles), key=lambda status: order.index(status.state))


# TE-07: what must go well.


@MUTANTS.add("TE-07", "a plan of more than 16 regions does not fit its request")
class SixteenRegions(ReferenceTransport):
    def send(self, transfer: Transfer) -> TransferStatus:
        if len(transfer.plan.source) > 16:
            raise ValueError("the list of regions is too long")
        return super().send(transfer)


@MUTANTS.add("TE-07", "a slot is never given back: after eight transfers there is none")
class EightSlots(ReferenceTransport):
    def send(self, transfer: Transfer) -> TransferStatus:
        if len(self.transfers) > 8:
            raise OSError("no free slot")
        return super().send(transfer)


@MUTANTS.add("TE-07", "a failure makes the engine give up its link for good")
class PoisonedByFailure(ReferenceTransport):
    def send(self, transfer: Transfer) -> TransferStatus:
        if any(one.status.state == "failed" for one in self.transfers.values()):
            raise OSError("the link is down")
        return super().send(transfer)


@MUTANTS.add("TE-07", "a byte of garbage on its socket and it listens no more")
class DeafAfterGarbage(ReferenceTransport):
    class receiver_type(Receiver):  # noqa: N801
        deaf = False

        def admit(self, channel: Channel) -> None:
            if self.deaf:
                raise Refused("not listening")
            try:
                super().admit(channel)
            except Refused:
                self.deaf = True
                raise


# TE-08: whose memory.


@MUTANTS.add("TE-08", "reads any memory that a plan names")
class ReadsAnything(ReferenceTransport):
    def _refuse_unregistered(self, regions: Sequence[MemoryRegion], param: str) -> None:
        if param != "source":
            super()._refuse_unregistered(regions, param)


@MUTANTS.add("TE-08", "grants leases on memory that nobody registered")
class GrantsAnything(ReferenceTransport):
    def _refuse_unregistered(self, regions: Sequence[MemoryRegion], param: str) -> None:
        if param == "source":
            super()._refuse_unregistered(regions, param)


@MUTANTS.add("TE-08", "memory can be taken away under a lease or a transfer")
class AlwaysDeregisters(ReferenceTransport):
    def is_used(self, region: MemoryRegion) -> bool:
        return False


@MUTANTS.add("TE-08", "writes whole words, and zeros into what lies behind an odd end")
class WritesWholeWords(ReferenceTransport):
    class receiver_type(Receiver):  # noqa: N801
        def write(self, lease: Lease, address: int, data: bytes) -> None:
            super().write(lease, address, data + bytes(-len(data) % 8))
