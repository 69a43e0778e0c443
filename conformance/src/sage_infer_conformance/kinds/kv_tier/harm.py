"""Histories in which a persistent tier is harmed: by its device, behind its back, and by the end of its process."""

from __future__ import annotations

from ..suite import Choices, Play
from .calm import audit, create
from .steps import (
    AskUsage,
    Close,
    Contains,
    Crash,
    Damage,
    DamageKind,
    Fault,
    FaultKind,
    Get,
    Heal,
    Put,
    Remove,
    Reopen,
    TakeLost,
)

_SIZES = (4096, 1000, 65_536)
_OLD = ("o0", "o1", "o2", "o3")
_NEW = ("n0", "n1", "n2", "n3")
_ALL = (*_OLD, *_NEW)
_FAULTS: tuple[FaultKind, ...] = (
    "no_space",
    "no_space",
    "file_size",
    "read_only",
    "read_error",
    "write_error",
    "gone",
    "slow",
)
_OPEN: tuple[DamageKind, ...] = (
    "flip",
    "flip",
    "zero",
    "swap",
    "header",
    "anywhere",
    "swap_files",
    "delete",
    "folder",
)
_CLOSED: tuple[DamageKind, ...] = (*_OPEN[:8], "truncate", "truncate", "tail")


def _filled(play: Play, *, io: bool = False) -> int:
    """Make a tier with the old blocks in it; returns the size of a block, or 0 when it is not persistent."""
    nbytes: int = play.choices.one_of(_SIZES)
    create(play, nbytes, 9, 12, io=io)
    if not play.model.persistent:
        return 0
    play.do(Put(keys=_OLD, nbytes=nbytes))
    return nbytes


def faults(play: Play) -> None:
    """The device fails for a while, in one way, at some call."""
    choices = play.choices
    nbytes = _filled(play, io=True)
    if not nbytes:
        return
    kind = choices.one_of(_FAULTS)
    calls = choices.integer(0, 12) * (512 if kind == "file_size" else 1)
    play.do(Fault(kind=kind, calls=calls, seconds=0.03))
    for number in range(choices.integer(1, 4)):
        if choices.chance(60):
            play.do(Put(keys=_NEW[number:], nbytes=nbytes, deadline_s=0.4))
        else:
            play.do(Get(keys=_OLD[number:], nbytes=nbytes, deadline_s=0.4))
    if choices.chance(30):
        play.do(Remove(keys=_OLD[:1]))
    play.do(Heal())
    _recover(play, nbytes)


def _recover(play: Play, nbytes: int) -> None:
    """Once all is well, everything is known again; what was reported is gone, and can be put again."""
    audit(play, "a", _ALL, nbytes)
    play.do(Get(keys=_ALL, nbytes=nbytes))
    play.do(TakeLost())
    play.do(Put(keys=_ALL, nbytes=nbytes, version=1))
    audit(play, "a", _ALL, nbytes)
    if play.choices.chance(40):
        play.do(Reopen())
        audit(play, "a", _ALL, nbytes)


def stall(play: Play) -> None:
    """The device does not answer, and somebody sets the clock back."""
    choices = play.choices
    nbytes = _filled(play, io=True)
    if not nbytes:
        return
    play.do(Fault(kind="stall", calls=choices.integer(0, 4)))
    if choices.chance(50):
        play.do(Fault(kind="clock", seconds=choices.one_of([-3600.0, 3600.0]), delay_s=0.05))
    for op in choices.one_of([("put", "get"), ("get", "put"), ("put", "put", "get"), ("get", "get")]):
        if op == "put":
            play.do(Put(keys=_NEW, nbytes=nbytes, deadline_s=0.15))
        else:
            play.do(Get(keys=_OLD, nbytes=nbytes, deadline_s=0.15))
    play.do(Heal())
    audit(play, "a", _ALL, nbytes)
    play.do(Put(keys=_NEW, nbytes=nbytes, version=1))
    audit(play, "a", _ALL, nbytes)


def _damage(choices: Choices, kinds: tuple[DamageKind, ...], nbytes: int) -> Damage:
    first = choices.integer(0, 3)
    keys = (_OLD[first], _OLD[(first + 1) % 4])
    return Damage(kind=choices.one_of(kinds), keys=keys, nbytes=nbytes, pick=choices.integer(0, 5000))


def damage_open(play: Play) -> None:
    """Files change while the tier is open. What it lost it finds out, drops and reports."""
    choices = play.choices
    nbytes = _filled(play)
    if not nbytes:
        return
    for _ in range(choices.integer(1, 2)):
        play.do(_damage(choices, _OPEN, nbytes))
    if choices.chance(30):
        play.do(AskUsage())
    play.do(Get(keys=_OLD, nbytes=nbytes))
    play.do(Get(keys=_OLD, nbytes=nbytes))
    play.do(Contains(keys=_OLD))
    if choices.chance(30):
        play.do(Put(keys=_OLD, nbytes=nbytes, version=2))
    _recover(play, nbytes)


def damage_closed(play: Play) -> None:
    """Files change between closing and making the tier again."""
    choices = play.choices
    nbytes = _filled(play)
    if not nbytes:
        return
    play.do(Close())
    for _ in range(choices.integer(1, 2)):
        play.do(_damage(choices, _CLOSED, nbytes))
    if play.do(Reopen(close_first=False)).error is None:
        _recover(play, nbytes)


def crash(play: Play) -> None:
    """Other processes use the tier's path and are killed: at some call, in some middle of it, or at some time."""
    choices = play.choices
    nbytes = _filled(play)
    if not nbytes:
        return
    first_call = choices.one_of([1, 9])
    for turn in range(8):
        first = Put(keys=(f"s{turn}",), nbytes=nbytes)
        kill = _kill(choices, first_call + turn)
        play.do(Crash(commands=(first, kill, *_doings(choices, nbytes, turn))))
        if play.do(Reopen(close_first=False)).error is not None:
            return
        audit(play, "a", (*_ALL, *(f"s{number}" for number in range(turn + 1))), nbytes)
        play.do(Remove(keys=(*_NEW, f"s{turn}")))


def _kill(choices: Choices, call: int) -> Fault:
    """Draw how a process dies. One call after the other has its turn, so that none is left out by chance."""
    if choices.chance(15):
        return Fault(kind="kill", seconds=choices.integer(1, 20) / 1000)
    return Fault(kind="kill", calls=call, cut=choices.one_of(["half", "before", "after", "half"]))


def _doings(choices: Choices, nbytes: int, turn: int) -> tuple[Put | Remove, ...]:
    """Draw what the process does while it is killed."""
    first = Put(keys=_NEW[: choices.integer(1, 4)], nbytes=nbytes, version=turn)
    second: Put | Remove = Put(keys=_NEW, nbytes=nbytes, version=turn + 10)
    if choices.chance(40):
        second = Remove(keys=choices.one_of([_OLD[:2], _NEW[:2]]))
    return (first, second, Put(keys=_OLD, nbytes=nbytes, version=turn + 20))
