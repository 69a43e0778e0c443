"""How two ends are played when one is stopped, killed, cut off, closed or late."""

from __future__ import annotations

from ..suite import Play, Scenario
from .stage import MIB, Pool, Stage, scenario
from .steps import Ask, Await, Cancel, Close, Deregister, Fault, Grant, Order, Pause, Revoke, Rewrite

_LARGE_BYTES = 8 * MIB + 3


@scenario
def pressure(play: Play) -> None:
    """More than may be in flight, while the receiver stands still; afterwards everything fits again."""
    limit = play.choices.one_of((256 * 1024, MIB))
    stage = Stage(play, "process", limit_bytes=limit)
    source, target = stage.pool("a", 12 * limit), stage.pool(stage.b, 12 * limit)
    stage.settle("a", stage.submit("a", stage.order(source, target, limit + 1)))
    orders = [stage.order(source, target, play.choices.integer(limit // 5, limit // 2)) for _ in range(12)]
    if stage.remote:
        stage.do(Fault(end=stage.b, what="stop"))
    sent = [name for number in range(0, 12, 3) for name in stage.submit("a", *orders[number : number + 3])]
    if stage.remote:
        stage.do(Await(end="a", transfers=tuple(sent[-1:]), timeout_s=0.1, how="wait"))
        if play.choices.chance(50):
            stage.do(Deregister(end="a", memory=source.memory))
        stage.do(Ask(end="a", transfers=tuple(sent)))
        stage.do(Fault(end=stage.b, what="go_on"))
        for name in sent[:: play.choices.integer(1, 2)]:
            stage.do(Cancel(end="a", transfer=name))
    stage.settle("a", sent)
    if not stage.model.memories[source.memory].registered:
        return
    stage.carry(source, target, 100)
    for _ in range(2):
        stage.carry(source, target, limit)
    stage.look(target)
    stage.close("a", stage.b)


def _struck(stage: Stage, order: Order, source: Pool, how: str) -> list[str]:
    """Submit, and let something happen to the receiver while the transfer is under way, or before it."""
    if how == "stop first":
        stage.do(Fault(end=stage.b, what="stop"))
    sent = stage.submit(source.end, order)
    if how != "stop first" and stage.choices.chance(70):
        stage.under_way(order, order.target[0].memory)
    if how == "stop":
        stage.do(Fault(end=stage.b, what="stop"))
    elif how == "kill":
        stage.do(Fault(end=stage.b, what="kill"))
    elif how == "cut":
        stage.do(Fault(end=stage.choices.one_of(("a", stage.b)), what="cut"))
    elif how == "close":
        stage.do(Close(end=stage.b))
    elif how == "revoke":
        stage.do(Revoke(end=stage.b, lease=order.lease))
    return sent


@scenario
def stalls(play: Play) -> None:
    """The receiver stands still, before or while it is written to: handles end, memory is free, others are served."""
    _lost_receiver(play, ("stop", "stop first"))


@scenario
def deaths(play: Play) -> None:
    """The receiver dies, is cut off, closes or ends the lease: handles end, memory is free, others are served."""
    _lost_receiver(play, ("kill", "cut", "close", "revoke"))


def _lost_receiver(play: Play, ways: tuple[str, ...]) -> None:
    stage = Stage(play, "process")
    source, target = stage.pool("a", 9 * MIB), stage.pool(stage.b, 9 * MIB)
    if not stage.remote:
        return
    how = play.choices.one_of(ways)
    deadline_s = play.choices.integer(3, 7) / 10
    nbytes = play.choices.one_of((MIB + 1, _LARGE_BYTES, _LARGE_BYTES))
    order = stage.order(source, target, nbytes, deadline_s=deadline_s, lease_s=0.8, parts=2)
    sent = _struck(stage, order, source, how)
    if sent and how.startswith("stop"):
        stage.do(Await(end="a", transfers=tuple(sent), timeout_s=0.1, how="wait"))
    stage.settle("a", sent)
    if how.startswith("stop"):
        stage.do(Fault(end=stage.b, what="go_on" if play.choices.chance(60) else "kill"))
    _after(stage, source, target, order.lease)


def _after(stage: Stage, source: Pool, target: Pool, lease: str) -> None:
    """Both sides are free again, and a new peer is served."""
    end = stage.model.ends[stage.b]
    stage.create("c")
    fresh = stage.pool("c", MIB)
    source.at = 0
    stage.carry(source, fresh)
    stage.look(fresh)
    stage.give_back(source)
    if end.alive and not end.closed:
        stage.outlast(stage.b, lease)
        stage.look(target)
        stage.give_back(target)
        stage.close(stage.b)
    stage.close("c", "a")


@scenario
def sender_dies(play: Play) -> None:
    """The sender dies, or is cut off, half way: the receiver's memory is free when the lease is over."""
    stage = Stage(play, "process")
    source, target = stage.pool(stage.b, 9 * MIB), stage.pool("a", 9 * MIB)
    if not stage.remote:
        return
    order = stage.order(source, target, _LARGE_BYTES, deadline_s=20, lease_s=0.6, parts=2)
    stage.submit(stage.b, order)
    stage.under_way(order, target.memory)
    stage.do(Fault(end=stage.b, what=play.choices.one_of(("kill", "stop"))))
    stage.outlast("a", order.lease)
    stage.do(Rewrite(end="a", memory=target.memory, content=f"{target.memory}#1"))
    stage.give_back(target)
    stage.look(target)
    stage.close("a")
    stage.look(target)


@scenario
def late(play: Play) -> None:
    """The sender is stopped half way, the receiver ends the lease and uses its memory for something else."""
    stage = Stage(play, "process")
    source, target = stage.pool(stage.b, 9 * MIB), stage.pool("a", 9 * MIB)
    fresh = Rewrite(end="a", memory=target.memory, content=f"{target.memory}#1")
    stage.do(fresh)
    how = play.choices.one_of(("revoke", "revoke", "expire", "newer", "close")) if stage.remote else "revoke"
    lease_s = 0.4 if how == "expire" else 60.0
    order = stage.order(source, target, _LARGE_BYTES, deadline_s=4, lease_s=lease_s, parts=2)
    sent = stage.submit(stage.b, order)
    if play.choices.chance(85):
        stage.under_way(order, fresh.content)
    if stage.remote:
        stage.do(Fault(end=stage.b, what="stop"))
    if how == "expire":
        stage.outlast("a", order.lease)
    elif how == "newer":
        part = stage.take(target, 10, 1)
        stage.do(Grant(end="a", lease=order.lease, generation=order.generation + 1, slices=part))
    elif how == "close":
        stage.do(Close(end="a"))
    else:
        stage.do(Revoke(end="a", lease=order.lease))
    stage.do(fresh)
    if stage.remote:
        stage.do(Fault(end=stage.b, what="go_on"))
    _quiet(stage, target, sent)


def _quiet(stage: Stage, target: Pool, sent: list[str]) -> None:
    stage.look(target)
    stage.do(Pause(seconds=0.2))
    stage.look(target)
    stage.settle(stage.b, sent)
    stage.look(target)
    stage.close("a", *([stage.b] if stage.b != "a" else []))


@scenario
def cancelled(play: Play) -> None:
    """A large transfer is cancelled; once it is called cancelled, the receiver's memory is its own again."""
    stage = Stage(play, "process" if play.choices.chance(70) else "here")
    source, target = stage.pool(stage.b, 9 * MIB), stage.pool("a", 9 * MIB)
    fresh = Rewrite(end="a", memory=target.memory, content=f"{target.memory}#1")
    stage.do(fresh)
    order = stage.order(source, target, _LARGE_BYTES, deadline_s=5, parts=2)
    sent = stage.submit(stage.b, order)
    if not sent:
        return
    if play.choices.chance(70):
        stage.under_way(order, fresh.content)
    stage.do(Cancel(end=stage.b, transfer=order.transfer, times=play.choices.integer(1, 2)))
    stage.do(Ask(end=stage.b, transfers=tuple(sent)))
    stops = stage.model.ends[stage.b].place == "process"
    if stops:
        stage.do(Fault(end=stage.b, what="stop"))
    stage.do(fresh)  # counts where the transfer is known to be cancelled by now
    if stops:
        stage.do(Fault(end=stage.b, what="go_on"))
    stage.do(Pause(seconds=0.2))
    stage.look(target)
    stage.settle(stage.b, sent)
    stage.do(fresh)
    stage.do(Pause(seconds=0.1))
    stage.look(target)
    stage.end_leases()
    stage.give_back(target, source)
    stage.close("a", stage.b)


@scenario
def endings(play: Play) -> None:
    """An end is closed while transfers are under way and a thread waits for one of them."""
    stage = Stage(play, "process")
    source, target = stage.pool("a", MIB), stage.pool(stage.b, MIB)
    sizes = [stage.size() + 50_000 for _ in range(play.choices.integer(1, 5))]
    orders = [stage.order(source, target, nbytes, deadline_s=20) for nbytes in sizes]
    if stage.remote:
        stage.do(Fault(end=stage.b, what="stop"))
    sent = stage.submit("a", *orders)
    stage.do(Close(end="a", waiter=sent[-1] if sent else None))
    if stage.remote:
        stage.do(Fault(end=stage.b, what="go_on"))
        stage.close(stage.b)


FAULT_SCENARIOS = (
    Scenario("pressure", pressure, certify=3, develop=3),
    Scenario("stalls", stalls, certify=3, develop=3),
    Scenario("deaths", deaths, certify=4, develop=4),
    Scenario("sender_dies", sender_dies, certify=2, develop=2),
    Scenario("late", late, certify=5, develop=5),
    Scenario("cancelled", cancelled, certify=3, develop=3),
    Scenario("endings", endings, certify=2, develop=3),
)
