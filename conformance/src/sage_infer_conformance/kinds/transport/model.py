"""What must be true of two ends: who may write what, what must come of each transfer, what every memory holds."""

from __future__ import annotations

import attrs

from .contents import Canvas, Segment
from .nouns import AMPLE_S, REMOTE, SKEW_S, End, Lease, Memory, Transfer, pieces
from .steps import (
    Allocate,
    Cancel,
    Close,
    Create,
    Deregister,
    Fault,
    Grant,
    Order,
    Revoke,
    Rewrite,
    Slice,
    State,
    Submit,
    TransportStep,
)


@attrs.define(slots=True)
class TransportModel:
    """Everything that has happened. Times are seconds since the history began."""

    ends: dict[str, End] = attrs.field(factory=dict)
    memories: dict[str, Memory] = attrs.field(factory=dict)
    leases: dict[tuple[str, str], Lease] = attrs.field(factory=dict)
    transfers: dict[str, Transfer] = attrs.field(factory=dict)
    shaken: set[tuple[str, str]] = attrs.field(factory=set)
    """Pairs whose connection was broken: the next transfer may be how they find out."""

    def apply(self, step: TransportStep) -> None:
        """Take a step into account."""
        command = step.command
        if isinstance(command, Submit):
            self._submit(command, step)
        for state in step.states:
            self._learn(state)
            if command.op == "await":
                self.transfers[state.transfer].settled = True
        if isinstance(command, Fault):
            self._fault(command)
        elif isinstance(command, Cancel):
            self._disturb([command.transfer])
        elif isinstance(command, Close):
            self._close(command.end)
        elif step.error is None:
            self._apply_memory(command, step)

    def _apply_memory(self, command: object, step: TransportStep) -> None:
        now_s = step.at_s + step.seconds
        if isinstance(command, Create):
            remote = REMOTE in (step.capabilities or ())
            self.ends[command.end] = End(
                command.place, command.credential, command.max_inflight_bytes, remote
            )
        elif isinstance(command, Allocate):
            canvas = Canvas.filled(command.memory, command.nbytes, "TE-08")
            self.memories[command.memory] = Memory(command.end, command.nbytes, command.register_it, canvas)
        elif isinstance(command, Rewrite):
            self._rewrite(command, now_s)
        elif isinstance(command, Deregister):
            self.memories[command.memory].registered = False
            for transfer in self.pending(self.memories[command.memory].end):
                if any(part.memory == command.memory for part in transfer.order.source):
                    transfer.lost_source = True
        elif isinstance(command, Grant):
            self._end_lease(command.end, command.lease)
            self.leases[command.end, command.lease] = Lease(
                command.generation, command.slices, step.at_s + command.duration_s
            )
        elif isinstance(command, Revoke):
            self._end_lease(command.end, command.lease)

    # What must become of a submission.

    def refusal_of(self, end: str, order: Order, at_s: float) -> tuple[str, str] | None:
        """Return the clause by which ``order`` must be refused and why; None: it need not be."""
        sender, receiver = self.ends[end], self.ends.get(order.to)
        if receiver is None or (order.to != end and not sender.remote):
            return "TE-05", "the engine does not reach other ends"
        if sender.credential != receiver.credential:
            return "TE-05", "its credential is wrong"
        if order.nbytes > sender.max_inflight_bytes:
            return "TE-04", "it is larger than all that may be in flight"
        if self._is_taken(end, order):
            return "TE-02", "it repeats a transfer_id"
        if not all(self.memories[part.memory].registered for part in order.source):
            return "TE-08", "its source is not registered"
        return self._lease_refusal(order, at_s)

    def _is_taken(self, end: str, order: Order) -> bool:
        accepted = (t for t in self.transfers.values() if t.end == end and t.state != "refused")
        return any(transfer.order.wire_id == order.wire_id for transfer in accepted)

    def _lease_refusal(self, order: Order, at_s: float) -> tuple[str, str] | None:
        lease = self.leases.get((order.to, order.lease))
        if lease is None:
            return "TE-02", "no such lease was granted"
        if lease.generation != order.generation:
            return "TE-02", f"the lease is at generation {lease.generation}"
        if any(self.transfers[name].state == "done" for name in lease.taken_by):
            return "TE-02", "the lease was used"
        if lease.ended:
            return "TE-02", "the lease has ended"
        if at_s > lease.ends_at_s + SKEW_S:
            return "TE-02", "the time of the lease has passed"
        if not all(map(lease.covers, order.target)):
            return "TE-02", "the lease is on other memory"
        return None

    def is_promised(self, end: str, order: Order, at_s: float, inflight_bytes: int) -> bool:
        """Say whether nothing stands in the way of ``order``, which need not be refused."""
        sender, receiver = self.ends[end], self.ends[order.to]
        lease = self.leases[order.to, order.lease]
        healthy = all(one.alive and not one.stopped and not one.closed for one in (sender, receiver))
        ample = order.deadline_s >= AMPLE_S and lease.ends_at_s - at_s >= AMPLE_S
        room = inflight_bytes + order.nbytes <= sender.max_inflight_bytes
        return healthy and ample and room and not lease.taken_by and (end, order.to) not in self.shaken

    def _submit(self, command: Submit, step: TransportStep) -> None:
        for order, state in zip(command.orders, step.states, strict=False):
            refusal = self.refusal_of(command.end, order, step.at_s)
            inflight = sum(one.order.nbytes for one in self.unsettled(command.end))
            promised = refusal is None and self.is_promised(command.end, order, step.at_s, inflight)
            company = frozenset(one.order.transfer for one in self.unsettled())
            transfer = Transfer(order, command.end, step.at_s, refusal, promised, company)
            if state.state == "refused":
                transfer.state, transfer.settled = "refused", True
            self.transfers[order.transfer] = transfer
            for other in company:
                mate = self.transfers[other]
                mate.company |= {order.transfer}
            self.shaken.discard((command.end, order.to))
            self._mark_target(transfer)

    def _mark_target(self, transfer: Transfer) -> None:
        order = transfer.order
        if transfer.refusal is None and transfer.state != "refused":
            lease = self.leases[order.to, order.lease]
            for name in lease.taken_by:
                self.transfers[name].promised = False
            lease.taken_by.append(order.transfer)
            for part in order.target:
                self._paint(part, None, 0, "TE-02")
        elif transfer.refusal is not None and transfer.refusal[0] in ("TE-02", "TE-05"):
            for part in order.target:
                memory = self.memories.get(part.memory)
                if memory is not None and order.to in self.ends:
                    memory.canvas.blame(part.offset, part.offset + part.nbytes, transfer.refusal[0])

    def pending(self, end: str | None = None) -> list[Transfer]:
        """Return the transfers, of one end or of all, whose end is not known."""
        return [one for one in self.transfers.values() if not one.ended and end in (None, one.end)]

    def unsettled(self, end: str | None = None) -> list[Transfer]:
        """Return the transfers, of one end or of all, that may be under way: nobody has waited for their end."""
        return [one for one in self.transfers.values() if not one.settled and end in (None, one.end)]

    def rivals(self, transfer: Transfer) -> list[str]:
        """Return the other transfers that were submitted under the same grant."""
        lease = self.leases.get((transfer.order.to, transfer.order.lease))
        taken = lease.taken_by if lease is not None and lease.generation == transfer.order.generation else []
        return [name for name in taken if name != transfer.order.transfer]

    # What an engine says of a transfer.

    def _learn(self, state: State) -> None:
        transfer = self.transfers.get(state.transfer)
        if transfer is None or transfer.ended:
            return
        transfer.state = state.state
        if state.state == "done" and transfer.refusal is None:
            lease = self.leases.get((transfer.order.to, transfer.order.lease))
            if lease is not None and lease.generation == transfer.order.generation:
                lease.ended = True
            if not transfer.overwritten:
                self._arrive(transfer)

    def _arrive(self, transfer: Transfer) -> None:
        for target, source in pieces(transfer.order):
            for one in self.memories[source.memory].canvas.within(
                source.offset, source.offset + source.nbytes
            ):
                start = target.offset + one.start - source.offset
                part = Slice(memory=target.memory, offset=start, nbytes=one.end - one.start)
                self._paint(part, one.content, one.offset, "TE-01", transfer.order.transfer)

    def _paint(
        self, part: Slice, content: str | None, offset: int, clause: str, transfer: str | None = None
    ) -> None:
        memory = self.memories[part.memory]
        memory.was_target = True
        end = part.offset + part.nbytes
        memory.canvas.paint(Segment(part.offset, end, content, offset, clause, transfer))

    # What happens to ends and leases.

    def _end_lease(self, end: str, name: str) -> None:
        lease = self.leases.get((end, name))
        if lease is not None:
            lease.ended = lease.revoked = True
            self._disturb(lease.taken_by)

    def _disturb(self, transfers: list[str]) -> None:
        for name in transfers:
            transfer = self.transfers.get(name)
            if transfer is not None and not transfer.settled:
                transfer.touched = True
                transfer.disturbed = transfer.disturbed or not transfer.ended

    def _fault(self, command: Fault) -> None:
        struck = self.ends[command.end]
        if command.what == "garbage":
            return
        names = {
            name
            for name, end in self.ends.items()
            if name == command.end or end.place == struck.place == "here"
        }
        if command.what in ("stop", "kill"):
            struck.stopped = command.what == "stop"
            struck.alive = command.what != "kill"
        elif command.what == "go_on":
            struck.stopped = False
        touching = [one for one in self.transfers.values() if one.end in names or one.order.to in names]
        self._disturb([one.order.transfer for one in touching])
        self.shaken |= {
            pair for name in names for other in self.ends for pair in ((name, other), (other, name))
        }

    def _close(self, end: str) -> None:
        self.ends[end].closed = True
        touching = [one for one in self.unsettled() if end in (one.end, one.order.to)]
        self._disturb([one.order.transfer for one in touching])
        for owner, name in self.leases:
            if owner == end:
                self._end_lease(owner, name)

    # What memories hold.

    def is_quiet(self, memory: str, at_s: float) -> bool:
        """Say whether nothing may be written into ``memory`` any more under what was granted so far."""
        over = ("done", "cancelled", "refused")
        return all(one.state in over or self._is_fenced(one, at_s) for one in self._writers(memory))

    def is_fenced(self, memory: str, at_s: float) -> bool:
        """Say so because of leases alone, whatever became of the transfers."""
        return all(one.is_certain or self._is_fenced(one, at_s) for one in self._writers(memory))

    def _writers(self, memory: str) -> list[Transfer]:
        allowed = [one for one in self.transfers.values() if one.refusal is None]
        return [one for one in allowed if any(part.memory == memory for part in one.order.target)]

    def _is_fenced(self, transfer: Transfer, at_s: float) -> bool:
        order = transfer.order
        lease = self.leases[order.to, order.lease]
        return lease.revoked or lease.generation != order.generation or at_s > lease.ends_at_s + SKEW_S

    def _rewrite(self, command: Rewrite, at_s: float) -> None:
        memory = self.memories[command.memory]
        for transfer in self.pending():
            if any(part.memory == command.memory for part in transfer.order.target):
                transfer.overwritten = True
        content = command.content if self.is_quiet(command.memory, at_s) else None
        clause = "TE-02" if memory.was_target else "TE-08"
        certain = self.is_fenced(command.memory, at_s)
        memory.canvas.paint(Segment(0, memory.nbytes, content, 0, clause, certain=certain))

    def is_leased(self, memory: str, at_s: float, left_s: float) -> bool:
        """Say whether a lease on ``memory`` goes on for at least ``left_s``, taken or not."""
        return any(
            not lease.ended
            and not lease.taken_by
            and lease.ends_at_s - at_s >= left_s
            and any(part.memory == memory for part in lease.slices)
            for lease in self.leases.values()
        )

    def is_free(self, memory: str, at_s: float) -> bool:
        """Say whether every transfer from ``memory`` and every lease on it have ended."""
        using = [one for one in self.pending() if any(part.memory == memory for part in one.order.source)]
        leased = [
            lease
            for lease in self.leases.values()
            if not lease.ended
            and at_s <= lease.ends_at_s + SKEW_S
            and any(p.memory == memory for p in lease.slices)
        ]
        return not using and not leased
