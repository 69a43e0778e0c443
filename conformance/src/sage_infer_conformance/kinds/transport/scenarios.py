"""How two ends are played when both are well: deliveries, leases, strangers, noise."""

from __future__ import annotations

from ..suite import Play, Scenario
from .scenarios_faults import FAULT_SCENARIOS
from .stage import MIB, Pool, Stage, scenario
from .steps import (
    GOOD_CREDENTIAL,
    Allocate,
    Cancel,
    Create,
    Deregister,
    Fault,
    Grant,
    Order,
    Pause,
    Revoke,
    Rewrite,
)

_WRONG = (
    GOOD_CREDENTIAL[:-1],
    GOOD_CREDENTIAL + "s",
    GOOD_CREDENTIAL.upper(),
    GOOD_CREDENTIAL + "\n",
    " " + GOOD_CREDENTIAL,
    GOOD_CREDENTIAL[::-1],
    "x" * len(GOOD_CREDENTIAL),
    "guess",
)
_BREACHES = (
    "unknown",
    "older",
    "newer",
    "used",
    "revoked",
    "expired",
    "outside",
    "repeated",
    "twice",
    "unregistered",
)


def _both_ways(stage: Stage, nbytes: int) -> list[tuple[Pool, Pool]]:
    """Return (source, target) pools for either direction."""
    there = stage.pool("a", nbytes), stage.pool(stage.b, nbytes)
    back = stage.pool(stage.b, nbytes), stage.pool("a", nbytes)
    return [there, back]


@scenario
def deliver(play: Play) -> None:
    """Transfers of all sizes in both directions, some at a time, then everything is looked at and given back."""
    stage = Stage(play, "process" if play.choices.chance(15) else "here")
    ways = _both_ways(stage, MIB)
    for _ in range(play.choices.integer(1, 3)):
        sent: dict[str, list[str]] = {"a": [], stage.b: []}
        for source, target in ways:
            orders = [stage.order(source, target, stage.size()) for _ in range(play.choices.integer(0, 3))]
            if orders:
                sent[source.end] += stage.submit(source.end, *orders)
        for end, transfers in sent.items():
            stage.settle(end, transfers)
        stage.look(*(target for _, target in ways))
    for source, _ in ways:
        stage.do(Rewrite(end=source.end, memory=source.memory, content=f"{source.memory}#1"))
    stage.look(*(pool for way in ways for pool in way))
    _leave(stage, [pool for way in ways for pool in way])


def _leave(stage: Stage, pools: list[Pool]) -> None:
    if stage.choices.chance(60):
        stage.end_leases()
        stage.give_back(*pools)
    stage.close("a", stage.b)


@scenario
def many_regions(play: Play) -> None:
    """One transfer in a hundred parts, cut differently on both sides, and one as large as the limit."""
    stage = Stage(play, limit_bytes=3 * MIB)
    source, target = stage.pool("a", 4 * MIB), stage.pool(stage.b, 4 * MIB)
    order = stage.order(source, target, play.choices.integer(100_000, 300_000), parts=120, least_parts=60)
    stage.settle("a", stage.submit("a", order))
    stage.carry(source, target, 3 * MIB)
    stage.look(target)
    _leave(stage, [source, target])


@scenario
def crowd(play: Play) -> None:
    """Many transfers at once, large and small in turn; some must be refused and one is cancelled."""
    stage = Stage(play, "process" if play.choices.chance(15) else "here")
    source, target = stage.pool("a", 3 * MIB), stage.pool(stage.b, 3 * MIB)
    orders = []
    for number in range(play.choices.integer(4, 10)):
        order = stage.order(source, target, stage.size() if number % 2 else 200_000 + number)
        if play.choices.chance(25):
            order = order.model_copy(update={"generation": order.generation + 7})
        orders.append(order)
    sent = stage.submit("a", *orders)
    if sent and play.choices.chance(60):
        stage.do(Cancel(end="a", transfer=play.choices.one_of(sent), times=play.choices.integer(1, 2)))
    stage.settle("a", sent if play.choices.chance(50) else sent[::-1])
    stage.look(target)
    stage.carry(source, target)
    stage.look(target, source)
    _leave(stage, [source, target])


@scenario
def one_cancelled(play: Play) -> None:
    """One of several large transfers to the same peer is cancelled while all are under way; the others arrive."""
    stage = Stage(play, limit_bytes=32 * MIB)
    source, target = stage.pool("a", 26 * MIB), stage.pool(stage.b, 26 * MIB)
    sent = stage.submit("a", *(stage.order(source, target, 8 * MIB) for _ in range(3)))
    if sent:
        stage.do(Cancel(end="a", transfer=sent[0]))
        stage.settle("a", sent)
    stage.look(target)
    _leave(stage, [source, target])


# Leases.


@scenario
def fence(play: Play) -> None:
    """Every way in which a lease does not allow a write, and after each of them one that is allowed."""
    stage = Stage(play, "process" if play.choices.chance(10) else "here")
    source, target = stage.pool("a", 2 * MIB), stage.pool(stage.b, 2 * MIB)
    for _ in range(play.choices.integer(3, 6)):
        _breach(stage, source, target, play.choices.one_of(_BREACHES))
        stage.look(target)
        stage.carry(source, target)
    _grants(stage, target)
    stage.look(target, source)
    _leave(stage, [source, target])


def _breach(stage: Stage, source: Pool, target: Pool, how: str) -> None:
    short = how == "expired"
    order = stage.order(source, target, stage.size(), lease_s=0.15 if short else 60.0)
    if how == "expired":
        stage.do(Pause(seconds=0.35))
    elif how == "revoked":
        stage.do(Revoke(end=target.end, lease=order.lease))
    elif how in ("unknown", "newer"):
        change = {"lease": "never granted"} if how == "unknown" else {"generation": order.generation + 1}
        order = order.model_copy(update=change)
    elif how == "older":
        newer = order.generation + 1
        stage.do(Grant(end=target.end, lease=order.lease, generation=newer, slices=order.target))
    elif how == "outside":
        order = order.model_copy(update={"target": stage.take(target, order.nbytes)})
    elif how == "unregistered":
        order = order.model_copy(update={"source": stage.take(_unregistered(stage), order.nbytes, 1)})
    elif how in ("used", "repeated"):
        order = _second(stage, order, how)
    orders = (
        [order]
        if how != "twice"
        else [order, order.model_copy(update={"transfer": f"{order.transfer}-again"})]
    )
    stage.settle("a", stage.submit("a", *orders))


def _unregistered(stage: Stage) -> Pool:
    pool = Pool("a", f"a-loose{stage.number('loose')}", MIB)
    stage.do(Allocate(end="a", memory=pool.memory, nbytes=pool.nbytes, register_it=stage.choices.chance(50)))
    if stage.model.memories[pool.memory].registered:
        stage.do(Deregister(end="a", memory=pool.memory))
    return pool


def _second(stage: Stage, order: Order, how: str) -> Order:
    """Carry ``order`` out, and return one more write under its lease, or one more with its name."""
    stage.settle("a", stage.submit("a", order))
    again = order.model_copy(update={"transfer": f"{order.transfer}-again"})
    if how == "used":
        return again
    lease, generation = stage.grant(order.to, order.target)
    return again.model_copy(update={"transfer_id": order.transfer, "lease": lease, "generation": generation})


def _grants(stage: Stage, target: Pool) -> None:
    """Grants that must be refused, and memory that a lease holds."""
    slices = stage.take(target, 64)
    lease, generation = stage.grant(target.end, slices)
    for stale in {generation, max(0, generation - 1)}:
        stage.do(Grant(end=target.end, lease=lease, generation=stale, slices=slices))
    stage.do(Deregister(end=target.end, memory=target.memory))
    loose = _unregistered(stage)
    part = stage.take(loose, 64, 1)
    stage.do(Grant(end=loose.end, lease="on loose memory", generation=1, slices=part))
    stage.do(Revoke(end=target.end, lease=lease))
    stage.do(Revoke(end=target.end, lease=lease))


@scenario
def torn(play: Play) -> None:
    """The lease ends at any moment of a transfer: what is done in spite of it must be there in full."""
    stage = Stage(play)
    source, target = stage.pool("a", 12 * MIB), stage.pool(stage.b, 12 * MIB)
    for _ in range(8):
        order = stage.order(source, target, play.choices.one_of((300_001, MIB, MIB + MIB // 3)), parts=2)
        sent = stage.submit("a", order)
        stage.do(Pause(seconds=play.choices.integer(1, 40) / 10_000))
        stage.do(Revoke(end=stage.b, lease=order.lease))
        stage.settle("a", sent)
    stage.look(target)
    _leave(stage, [source, target])


@scenario
def strangers(play: Play) -> None:
    """A peer with another credential, as sender and as receiver; those with the right one are served all along."""
    stage = Stage(play, "process" if play.choices.chance(30) else "here")
    source, target = stage.pool("a", 2 * MIB), stage.pool(stage.b, 2 * MIB)
    if not stage.remote:
        order = stage.order(source, target, 100).model_copy(update={"to": "another machine"})
        stage.submit("a", order)
        return
    stage.do(Create(end="bare", credential=""))
    names = []
    for number, credential in enumerate(_WRONG[play.choices.integer(0, 1) :: 2]):
        names.append(stage.create(f"x{number}", credential=credential))
        _approach(stage, names[-1], source, target)
        if play.choices.chance(40):
            stage.carry(source, target)
        stage.look(target)
    stage.carry(source, target)
    stage.look(target)
    stage.close(*names, "a", stage.b)


def _approach(stage: Stage, stranger: str, source: Pool, target: Pool) -> None:
    """A stranger sends, and is sent to, under leases that are good."""
    own, bait = stage.pool(stranger, 160_000), stage.pool(stranger, 160_000)
    stage.settle(stranger, stage.submit(stranger, stage.order(own, target, stage.size(), deadline_s=3)))
    stage.settle("a", stage.submit("a", stage.order(source, bait, stage.size(), deadline_s=3)))
    stage.look(bait)


@scenario
def noise(play: Play) -> None:
    """Garbage on the listening sockets, some of it never ending, while transfers go on."""
    stage = Stage(play)
    ways = _both_ways(stage, 2 * MIB)
    for _ in range(play.choices.integer(1, 3)):
        for sizes in ((0, 1, 4, 33), (64, 200, 5000, 70_000)):
            nbytes = play.choices.one_of(sizes)
            seed = play.choices.integer(0, 9999)
            stage.do(Fault(end=stage.b, what="garbage", seed=seed, nbytes=nbytes))
        for source, target in ways:
            stage.carry(source, target)
            stage.look(target)
    stage.close("a", stage.b)


SCENARIOS = (
    Scenario("deliver", deliver, certify=18, develop=18),
    Scenario("many_regions", many_regions, certify=3, develop=2),
    Scenario("crowd", crowd, certify=12, develop=12),
    Scenario("one_cancelled", one_cancelled, certify=3, develop=3),
    Scenario("fence", fence, certify=18, develop=16),
    Scenario("torn", torn, certify=4, develop=4),
    Scenario("strangers", strangers, certify=6, develop=6),
    Scenario("noise", noise, certify=3, develop=3),
    *FAULT_SCENARIOS,
)
