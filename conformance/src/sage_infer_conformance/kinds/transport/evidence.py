"""What a step shows: of memory, of transfers that ended, of orders given at once."""

from __future__ import annotations

from collections.abc import Iterator

from ...judging.rules import HELD, Check, broken
from .contents import Segment, digest, pattern
from .model import TransportModel
from .nouns import Transfer
from .steps import Order, Sight, State, Submit, TransportStep

Seen = tuple[list[Segment], Sight, str | None]


def sights(model: TransportModel, step: TransportStep, clause: str) -> Iterator[Seen]:
    """Yield what ``clause`` watches: the segments of a slice, what was seen, and what is wrong with it."""
    if step.command.op != "look":
        return
    for part, sight in zip(step.command.slices, step.sights, strict=False):
        segments = model.memories[part.memory].canvas.within(part.offset, part.offset + part.nbytes)
        if not segments or segments[0].clause != clause or any(one.content is None for one in segments):
            continue
        expected = b"".join(_bytes_of(model, one) for one in segments)
        wrong = None
        if digest(expected) != sight.digest:
            names = " + ".join(f"{one.end - one.start} of {one.content}" for one in segments[:4])
            wrong = f"{part} must hold {names} bytes and holds {sight}"
        yield segments, sight, wrong


def is_certain(model: TransportModel, segments: list[Segment]) -> bool:
    """Say whether what these segments hold is known in every run, however races end."""
    named = [model.transfers[one.transfer] for one in segments if one.transfer is not None]
    return all(one.certain for one in segments) and all(one.is_certain for one in named)


def held_or_broken(model: TransportModel, step: TransportStep, clause: str, how: str = "") -> Iterator[Check]:
    """Judge what was seen. What holds is counted where it would have been looked at in every run."""
    for segments, _, wrong in sights(model, step, clause):
        if wrong is not None:
            yield broken(how + wrong)
        elif is_certain(model, segments):
            yield HELD


def settled(model: TransportModel, step: TransportStep) -> Iterator[tuple[Transfer, State]]:
    """Yield the transfers that must be done and were waited for."""
    if step.command.op == "await":
        for state in step.states:
            if model.transfers[state.transfer].is_certain:
                yield model.transfers[state.transfer], state


def _bytes_of(model: TransportModel, segment: Segment) -> bytes:
    assert segment.content is not None
    whole = pattern(segment.content, _content_bytes(model, segment.content))
    return whole[segment.offset : segment.offset + segment.end - segment.start]


def _content_bytes(model: TransportModel, content: str) -> int:
    """Contents are called like the memory they fill, or ``memory#n`` once it was rewritten."""
    return model.memories[content.partition("#")[0]].nbytes


def told(model: TransportModel, step: TransportStep) -> Iterator[tuple[Transfer, State]]:
    """Yield what is told for the first time, of transfers whose end was not known before this step."""
    for state in step.states:
        transfer = model.transfers.get(state.transfer) or _new(model, step, state)
        if transfer is not None and not transfer.ended:
            yield transfer, state


def _new(model: TransportModel, step: TransportStep, state: State) -> Transfer | None:
    """Return the transfer that this very step submits, as the model is about to see it."""
    command = step.command
    if not isinstance(command, Submit):
        return None
    for order in command.orders:
        if order.transfer == state.transfer:
            refusal = refusal_in_burst(model, command, order, step.at_s)
            return Transfer(
                order, command.end, step.at_s, refusal, promised=_is_promised(model, command, order, step)
            )
    return None


def refusal_in_burst(
    model: TransportModel, command: Submit, order: Order, at_s: float
) -> tuple[str, str] | None:
    """Return why one of several orders must be refused; None: it need not be."""
    earlier = command.orders[: command.orders.index(order)]
    if any(one.wire_id == order.wire_id for one in earlier):
        return "TE-02", "it repeats a transfer_id"
    return model.refusal_of(command.end, order, at_s)


def _is_promised(model: TransportModel, command: Submit, order: Order, step: TransportStep) -> bool:
    if refusal_in_burst(model, command, order, step.at_s) is not None:
        return False
    earlier = command.orders[: command.orders.index(order)]
    before = [one.order for one in model.unsettled(command.end)] + list(earlier)
    sole = sum(one.lease == order.lease for one in command.orders)
    inflight = sum(one.nbytes for one in before)
    return sole == 1 and model.is_promised(command.end, order, step.at_s, inflight)
