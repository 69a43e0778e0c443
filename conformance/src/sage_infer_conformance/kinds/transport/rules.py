"""TE-01 to TE-08, each a pure function of the model and a step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ...history.steps import Raised
from ...judging.rules import HELD, REFUSED, Check, Rule, Stated, broken, check
from .contents import Segment
from .evidence import held_or_broken, is_certain, refusal_in_burst, settled, sights, told
from .model import TransportModel
from .nouns import SKEW_S
from .steps import (
    Ask,
    Await,
    Close,
    Create,
    Deregister,
    Grant,
    Sight,
    State,
    Submit,
    TransportStep,
)

MARGIN_S = 5.0
"""By how much a busy machine may be late. Deadlines in fault histories are near one second."""


def identical_and_in_full(model: TransportModel, step: TransportStep) -> Iterable[Check]:
    """TE-01."""
    yield from held_or_broken(model, step, "TE-01")
    for transfer, state in told(model, step):
        nbytes = transfer.order.nbytes
        if state.state == "done" and transfer.refusal is None and state.bytes_moved != nbytes:
            yield broken(
                f"{state.transfer} is done and says that {state.bytes_moved} of {nbytes} bytes were moved"
            )
    for state in step.states:
        known = model.transfers.get(state.transfer)
        if known is not None and known.ended and known.state != state.state:
            yield broken(f"{state.transfer} was {known.state} and is {state.state} now")
    for _ in settled(model, step):
        yield HELD


def guarded_by_lease(model: TransportModel, step: TransportStep) -> Iterable[Check]:
    """TE-02."""
    if step.command.op == "revoke":
        yield check(step.error is None, f"a lease cannot be revoked: {step.error}")
    yield from _refusals(model, step, "TE-02")
    yield from held_or_broken(model, step, "TE-02", "written although no lease allows it: ")
    for transfer, state in told(model, step):
        rivals = [
            model.transfers[name] for name in model.rivals(transfer) if model.transfers[name].state == "done"
        ]
        if rivals and state.state == "done" and transfer.refusal is None:
            yield broken(f"{state.transfer} and {rivals[0].order.transfer} were both done under one grant")
    command = step.command
    lease = model.leases.get((command.end, command.lease)) if isinstance(command, Grant) else None
    if isinstance(command, Grant) and lease is not None and command.generation <= lease.generation:
        says = f"generation {command.generation} was granted after generation {lease.generation}"
        yield check(_code(step.error) == "invalid_request", says)


def ends_in_time(model: TransportModel, step: TransportStep) -> Iterable[Check]:
    """TE-03."""
    command, now_s = step.command, step.at_s + step.seconds
    if step.error is not None and step.error.fate == "hang":
        yield broken(f"it hangs: {step.error.message}")
    for transfer, state in told(model, step):
        deadline_s = transfer.submitted_at_s + transfer.order.deadline_s
        if state.state == "pending" and now_s > deadline_s + MARGIN_S:
            yield broken(f"{state.transfer} is pending {now_s - deadline_s:.1f} s after its deadline")
    if isinstance(command, Await):
        yield next((one for one in _waits(command, step) if one.says), HELD)
    if (
        isinstance(command, Deregister)
        and model.is_free(command.memory, step.at_s)
        and _is_ours(model, command)
    ):
        says = f"every transfer and lease on {command.memory} has ended, and it cannot be deregistered: {step.error}"
        yield check(step.error is None, says)
    if isinstance(command, Close):
        yield from _closed(step)


def _waits(command: Await, step: TransportStep) -> Iterator[Check]:
    if command.how == "wait":
        yield from (_waited(command, state) for state in step.states if state.state == "pending")


def _waited(command: Await, state: State) -> Check:
    if _code(state.error) != "deadline_exceeded":
        return broken(f"wait for {state.transfer} came back ({state.error or 'no error'}) and it is pending")
    says = f"wait({command.timeout_s:g}) took {state.seconds:.1f} s"
    return check(state.seconds < command.timeout_s + MARGIN_S, says)


def _is_ours(model: TransportModel, command: Deregister) -> bool:
    end = model.ends[command.end]
    return model.memories[command.memory].registered and not end.closed


def _closed(step: TransportStep) -> Iterator[Check]:
    yield check(step.error is None, f"close raises {step.error}")
    yield check(step.seconds < 3 * MARGIN_S, f"close took {step.seconds:.1f} s")
    if step.waiter is not None:
        yield check("still waits" not in step.waiter, f"after close a thread {step.waiter}")
    if step.residue is not None:
        yield check(
            not step.residue.threads, f"threads are left after close: {', '.join(step.residue.threads)}"
        )
        yield check(
            step.residue.open_files <= 0, f"{step.residue.open_files} files are left open after close"
        )
    yield check(not step.left_files, f"left behind after close: {', '.join(step.left_files)}")


def bounded_back_pressure(model: TransportModel, step: TransportStep) -> Iterable[Check]:
    """TE-04."""
    command = step.command
    if isinstance(command, Ask):
        limit = model.ends[command.end].max_inflight_bytes
        pending = [state.transfer for state in step.states if state.state == "pending"]
        nbytes = sum(model.transfers[name].order.nbytes for name in pending)
        yield check(nbytes <= limit, f"{nbytes} bytes are in flight and {limit} are allowed")
    if not isinstance(command, Submit) or step.error is not None:
        return
    limit = model.ends[command.end].max_inflight_bytes
    known = sum(one.order.nbytes for one in model.unsettled(command.end))
    asked = sum(order.nbytes for order in command.orders)
    if known + asked > limit:
        yield from _under_pressure(model, command, step, limit)
    for transfer, state in told(model, step):
        first = state.transfer == command.orders[0].transfer
        if first and not known and transfer.must_be_done and 2 * transfer.order.nbytes >= limit:
            says = f"nothing is in flight, and {transfer.order.nbytes} of {limit} bytes are refused: {state.error}"
            yield check(_code(state.error) != "capacity_exceeded", says)


def _under_pressure(
    model: TransportModel, command: Submit, step: TransportStep, limit: int
) -> Iterator[Check]:
    by_name = {state.transfer: state for state in step.states}
    sizes = {one.order.transfer: one.order.nbytes for one in model.pending(command.end)}
    sizes.update({order.transfer: order.nbytes for order in command.orders})
    pending = sum(
        sizes[name] for name, state in by_name.items() if state.state == "pending" and name in sizes
    )
    yield check(pending <= limit, f"{pending} bytes are in flight and {limit} are allowed")
    for order in command.orders:
        state = by_name[order.transfer]
        yield check(
            state.seconds < MARGIN_S, f"submit of {order.transfer} took {state.seconds:.1f} s: it waits"
        )
        refusal = refusal_in_burst(model, command, order, step.at_s)
        if (state.state == "refused" or order.nbytes > limit) and (refusal is None or refusal[0] == "TE-04"):
            says = f"{order.transfer} is more than may be in flight; it is {state.state}: {state.error}"
            yield check(_code(state.error) == "capacity_exceeded", says)
        else:
            yield HELD


def only_with_credential(model: TransportModel, step: TransportStep) -> Iterable[Check]:
    """TE-05."""
    yield from _refusals(model, step, "TE-05")
    yield from held_or_broken(model, step, "TE-05", "written by a peer without the credential: ")
    command = step.command
    if (
        isinstance(command, Create)
        and not command.credential
        and any(end.remote for end in model.ends.values())
    ):
        says = "it reaches other processes and is made without a credential"
        yield check(step.error is not None and step.error.code is not None, says)


def do_not_mix(model: TransportModel, step: TransportStep) -> Iterable[Check]:
    """TE-06."""
    for segments, sight, wrong in sights(model, step, "TE-01"):
        transfer = model.transfers.get(segments[0].transfer or "")
        if transfer is None or not transfer.company:
            continue
        mates = {part.memory for name in transfer.company for part in model.transfers[name].order.source}
        own = {one.content for one in segments}
        foreign = [run for run in sight.runs if run.content is not None and run.content not in own]
        mixed = wrong is not None and any(
            run.content.partition("#")[0] in mates for run in foreign if run.content
        )
        own_elsewhere = wrong is not None and _is_misplaced(segments, sight)
        if mixed or own_elsewhere:
            yield broken(f"bytes of concurrent transfers are mixed: {wrong}")
        elif is_certain(model, segments):
            yield HELD
    for transfer, state in settled(model, step):
        mates_failed = [name for name in transfer.company if _falls(model, name)]
        if mates_failed:
            why = state.reason or state.error
            says = f"{state.transfer} is {state.state} ({why}) and only {mates_failed[0]} may fail"
            yield check(state.state == "done", says)


def _is_misplaced(segments: list[Segment], sight: Sight) -> bool:
    """Say whether own bytes are there, in another order than that of the plan: slices of one memory got mixed up."""
    first = sight.runs[0] if sight.runs else None
    return first is not None and first.content == segments[0].content and first.offset != segments[0].offset


def _falls(model: TransportModel, name: str) -> bool:
    mate = model.transfers[name]
    return mate.refusal is not None or mate.touched


def carried_out(model: TransportModel, step: TransportStep) -> Iterable[Check]:
    """TE-07."""
    command = step.command
    if isinstance(command, Grant) and _is_in_order(model, command):
        yield check(
            step.error is None, f"nothing stands in the way of the lease, and it is refused: {step.error}"
        )
    for transfer, state in told(model, step):
        if transfer.must_be_done and state.state not in ("pending", "done"):
            why = state.reason or state.error
            yield broken(f"nothing stands in the way of {state.transfer}; it is {state.state}: {why}")
    for _, state in settled(model, step):
        if state.state == "done":
            yield HELD


def _is_in_order(model: TransportModel, command: Grant) -> bool:
    lease = model.leases.get((command.end, command.lease))
    newer = lease is None or command.generation > lease.generation
    registered = all(model.memories[part.memory].registered for part in command.slices)
    return newer and registered and not model.ends[command.end].closed


def only_registered_memory(model: TransportModel, step: TransportStep) -> Iterable[Check]:
    """TE-08."""
    yield from _refusals(model, step, "TE-08")
    yield from held_or_broken(model, step, "TE-08", "no plan names it: ")
    if step.command.op == "look":
        yield check(not step.stained, f"something was written around {', '.join(step.stained)}")
    command = step.command
    if isinstance(command, Grant):
        unregistered = [part.memory for part in command.slices if not model.memories[part.memory].registered]
        if unregistered:
            says = f"a lease is granted on {unregistered[0]}, which is not registered"
            yield check(_code(step.error) == "invalid_request", says)
    if isinstance(command, Deregister) and model.is_leased(command.memory, step.at_s + step.seconds, SKEW_S):
        says = f"{command.memory} is deregistered while a lease is granted on it"
        yield check(_code(step.error) == "invalid_request", says)
    for transfer, state in told(model, step):
        if transfer.lost_source and state.state == "pending":
            yield broken(f"the source of {state.transfer} was deregistered while it was under way")


def _refusals(model: TransportModel, step: TransportStep, clause: str) -> Iterator[Check]:
    """Judge transfers that must be refused by ``clause``, when their end becomes known."""
    for transfer, state in told(model, step):
        if transfer.refusal is None or transfer.refusal[0] != clause or state.state == "pending":
            continue
        why, code = transfer.refusal[1], _code(state.error)
        if why == "the engine does not reach other ends":
            yield (
                REFUSED if code == "unsupported" else broken(f"{state.transfer}: {why}; it is {state.state}")
            )
        elif why in ("it repeats a transfer_id", "its source is not registered"):
            yield check(
                code == "invalid_request", f"{state.transfer}: {why}; it is {state.state}: {state.error}"
            )
        else:
            yield check(
                state.state in ("failed", "refused", "cancelled"), f"{state.transfer} is {state.state}: {why}"
            )


def _code(error: Raised | None) -> str | None:
    return error.code if error is not None else None


RULES = (
    Rule("TE-01", "sampled", 900, identical_and_in_full),
    Rule("TE-02", "sampled", 250, guarded_by_lease),
    Rule("TE-03", "timed", 150, ends_in_time),
    Rule("TE-04", "sampled", 20, bounded_back_pressure),
    Rule("TE-05", "sampled", 80, only_with_credential),
    Rule("TE-06", "sampled", 350, do_not_mix),
    Rule("TE-07", "sampled", 250, carried_out),
    Rule("TE-08", "sampled", 900, only_registered_memory),
)
STATED: tuple[Stated, ...] = ()
