"""Histories in which nothing is done to a tier from outside: fill it first, then ask what can be wrong."""

from __future__ import annotations

from ..suite import Choices, Play
from .steps import (
    Act,
    AskClosed,
    AskUsage,
    Close,
    CloseBusy,
    Contains,
    Create,
    Fault,
    Footprint,
    Get,
    Heal,
    Names,
    Put,
    Remove,
    Reopen,
    TakeLost,
    Together,
)

_SIZES = (4096, 1000, 8192, 33, 12_289, 65_536)
_POOL = tuple(f"b{number}" for number in range(10))
_RUSHED = tuple(f"r{number}-{turn}" for number in range(5) for turn in range(4))
_EVENTS = {
    "put": 34,
    "get": 24,
    "contains": 9,
    "remove": 13,
    "usage": 9,
    "lost": 4,
    "size": 2,
    "hurry": 3,
    "reopen": 2,
}
CONFUSING = (
    ("a", "b"),
    ("a/b", "a_b"),
    ("a", "A"),
    ("", "a"),
    ("../a", "a"),
    (".", ".."),
    ("a ", "a"),
    ("x" * 300, "x" * 299 + "y"),
    ("租户", "租戶"),
    ("caf\u00e9", "cafe\u0301"),
    ("a:b", "a"),
    ("n1", "n11"),
)
"""Names that a tier takes for one another when it shortens, folds, cleans or joins them."""


def audit(play: Play, namespace: str, keys: Names, nbytes: int) -> None:
    """Ask of every block whether it is there, read it, and have the sums and the losses told."""
    play.do(Contains(namespace=namespace, keys=keys))
    play.do(Get(namespace=namespace, keys=keys, nbytes=nbytes))
    play.do(AskUsage())
    play.do(TakeLost())


def create(play: Play, nbytes: int, fewest: int, most: int, *, io: bool = False) -> None:
    """Make a tier for a number of blocks, and often for a part of one more."""
    blocks = play.choices.integer(fewest, most)
    rest = play.choices.one_of([0, nbytes // 2, nbytes - 1])
    play.do(Create(capacity_bytes=nbytes * blocks + rest, io=io))


def _some(choices: Choices, pool: Names = _POOL) -> Names:
    """Draw up to four neighbours of the pool, none twice."""
    first, count = choices.integer(0, len(pool) - 1), choices.integer(1, 4)
    return tuple(dict.fromkeys(pool[(first + number) % len(pool)] for number in range(count)))


def wander(play: Play) -> None:
    """Any sequence of operations on a small tier, in two namespaces."""
    choices = play.choices
    nbytes = choices.one_of(_SIZES)
    create(play, nbytes, 2, 9)
    for _ in range(choices.integer(8, 36)):
        _event(play, nbytes)
    for namespace in ("a", "b"):
        audit(play, namespace, _POOL, nbytes)


def _event(play: Play, nbytes: int) -> None:
    choices, model = play.choices, play.model
    namespace, keys = "b" if choices.chance(25) else "a", _some(choices)
    event = choices.weighted(_EVENTS)
    if event in ("put", "hurry"):
        deadline_s = choices.one_of([0.0, 0.001, 0.02]) if event == "hurry" else 5.0
        version = choices.integer(0, 3)
        _, _, _, held = model.bounds()
        fits = held + len(keys) * nbytes <= model.capacity_bytes
        for some in (
            [keys] if fits else [(key,) for key in keys]
        ):  # which of a batch fit is a matter of timing
            play.do(
                Put(namespace=namespace, keys=some, nbytes=nbytes, version=version, deadline_s=deadline_s)
            )
    elif event in ("get", "size"):
        other = choices.one_of([max(1, nbytes // 2), nbytes * 2]) if event == "size" else nbytes
        play.do(Get(namespace=namespace, keys=keys, nbytes=other))
    elif event == "contains":
        play.do(Contains(namespace=namespace, keys=keys))
        play.do(Get(namespace=namespace, keys=keys, nbytes=nbytes))
    elif event == "remove":
        play.do(Remove(namespace=namespace, keys=keys))
        if choices.chance(50):
            play.do(Get(namespace=namespace, keys=keys, nbytes=nbytes))
    elif event == "reopen" and model.persistent:
        play.do(Reopen())
    else:
        play.do(TakeLost() if event == "lost" else AskUsage())


def full(play: Play) -> None:
    """More than fits, in batches; what was there stays, and what is removed makes room."""
    choices, model = play.choices, play.model
    nbytes = choices.one_of(_SIZES)
    clock = choices.chance(40)
    create(play, nbytes, 1, 12, io=clock)
    many = tuple(f"f{number}" for number in range(16))
    batch = choices.integer(1, 6)
    for start in range(0, len(many), batch):
        if clock and start:
            play.do(Fault(kind="clock", seconds=choices.one_of([-3600.0, 3600.0, 86_400.0 * 365])))
            clock = False
        play.do(Put(keys=many[start : start + batch], nbytes=nbytes))
        if choices.chance(40):
            play.do(AskUsage())
    audit(play, "a", many, nbytes)
    play.do(Put(keys=many[:4], nbytes=nbytes, version=1))
    play.do(Put(keys=("too large",), nbytes=model.capacity_bytes + 1))
    audit(play, "a", many, nbytes)
    leaving = _some(choices, many)
    play.do(Remove(keys=leaving))
    play.do(Put(keys=leaving, nbytes=nbytes, version=2))
    play.do(Put(keys=tuple(f"g{number}" for number in range(6)), nbytes=nbytes))
    audit(play, "a", many, nbytes)


def namespaces(play: Play) -> None:
    """The same keys in namespaces whose names are easily taken for one another."""
    choices = play.choices
    nbytes = choices.one_of(_SIZES[:3])
    one, other = choices.one_of(CONFUSING)
    if choices.chance(50):
        one, other = other, one
    create(play, nbytes, 10, 16)
    play.do(Put(namespace=one, keys=_POOL[:4], nbytes=nbytes))
    audit(play, other, _POOL[:4], nbytes)
    play.do(Remove(namespace=other, keys=_POOL[:2]))
    play.do(Put(namespace=other, keys=_POOL[1:5], nbytes=nbytes, version=1))
    audit(play, one, _POOL[:5], nbytes)
    audit(play, other, _POOL[:5], nbytes)
    play.do(Remove(namespace=choices.one_of([one, other]), keys=_POOL[2:4]))
    audit(play, one, _POOL[:5], nbytes)
    if play.model.persistent:
        play.do(Reopen())
    audit(play, other, _POOL[:5], nbytes)
    audit(play, one, _POOL[:5], nbytes)


def closing(play: Play) -> None:
    """Close, also twice, also while puts run; ask for what is refused then; make it again where it is persistent."""
    choices = play.choices
    nbytes = choices.one_of(_SIZES)
    create(play, nbytes, 8, 12)
    play.do(Put(keys=_POOL[:4], nbytes=nbytes))
    if choices.chance(50):
        play.do(CloseBusy(keys=_POOL[4:8], nbytes=nbytes))
    else:
        play.do(Close())
    play.do(AskClosed(key=_POOL[choices.integer(0, 5)], nbytes=nbytes))
    play.do(Close())
    if play.model.persistent:
        play.do(Reopen(close_first=False))
        audit(play, "a", _POOL, nbytes)
        play.do(Put(keys=_POOL[4:8], nbytes=nbytes))
        play.do(Reopen())
        audit(play, "a", _POOL, nbytes)


def together(play: Play) -> None:
    """Threads that put and read the same blocks, fill the tier at once, and take away what others put."""
    choices = play.choices
    nbytes = choices.one_of([4096, 65_536, 262_144])
    lag = choices.chance(50)
    create(play, nbytes, 4, 8, io=lag)
    if choices.chance(60):
        play.do(Put(keys=_POOL[:2], nbytes=nbytes))
    if lag:
        play.do(Fault(kind="lag", seconds=0.001))
    for _ in range(choices.integer(1, 3)):
        plan = choices.one_of([_same_blocks, _rush, _coming_and_going])
        play.do(Together(nbytes=nbytes, threads=plan(choices)))
        audit(play, "a", (*_POOL, *_RUSHED), nbytes)
    if lag:
        play.do(Heal())
    play.do(Remove(keys=(*_POOL, *_RUSHED)))
    audit(play, "a", (*_POOL, *_RUSHED), nbytes)


def _same_blocks(choices: Choices) -> tuple[tuple[Act, ...], ...]:
    """Every thread puts the same blocks, each its own version, and reads them; one watches."""
    keys = _some(choices)
    threads = [
        tuple(Act(op=op, keys=keys, version=10 + number) for op in ("put", "get", "put", "get"))
        for number in range(choices.integer(2, 4))
    ]
    return (*threads, (Act(op="watch", keys=keys),))


def _rush(choices: Choices) -> tuple[tuple[Act, ...], ...]:
    """Every thread puts blocks of its own, more than fit."""
    threads = choices.integer(3, 5)
    names = [[f"r{number}-{turn}" for turn in range(4)] for number in range(threads)]
    return tuple(tuple(Act(op="put", keys=(name,)) for name in mine) for mine in names)


def _coming_and_going(choices: Choices) -> tuple[tuple[Act, ...], ...]:
    """Threads put, get and remove in any order."""
    return tuple(
        tuple(
            Act(
                op=choices.one_of(["put", "get", "remove"]),
                keys=_some(choices, _POOL[:5]),
                version=20 + number,
            )
            for _ in range(6)
        )
        for number in range(choices.integer(3, 4))
    )


def extent(play: Play) -> None:
    """Fill and empty again and again."""
    nbytes = 65_536
    play.do(Create(capacity_bytes=48 * nbytes))
    play.do(Footprint(nbytes=nbytes, blocks=48, rounds=16))
    play.do(AskUsage())
    play.do(TakeLost())
