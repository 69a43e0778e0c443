"""How histories of a policy are drawn: state first, then questions whose answers can be wrong."""

from __future__ import annotations

from ..suite import Choices, Play, Scenario
from .model import EvictionModel
from .steps import Admit, Create, Discard, MeasureCost, MeasureState, Pin, Replay, Touch, Unpin, Victims

_EVENTS = {"admit": 30, "touch": 18, "stranger": 2, "pin": 10, "unpin": 8, "discard": 6, "victims": 18, "evict": 8}


def _admit(play: Play, counter: list[int]) -> None:
    model: EvictionModel = play.model
    if len(model.blocks) >= model.capacity:
        _evict(play, 1)
    if len(model.blocks) >= model.capacity:
        return
    choices = play.choices
    gone = sorted(model.left)
    if gone and choices.chance(35):
        key = choices.one_of(gone)
    else:
        counter[0] += 1
        key = f"b{counter[0]}"
    parent = choices.one_of(list(model.blocks)) if model.blocks and choices.chance(60) else None
    depth = model.blocks[parent].depth + 1 if parent is not None else 0
    play.do(Admit(key=key, parent=parent, depth=depth, **_hints(choices)))


def _hints(choices: Choices) -> dict[str, object]:
    """Draw metadata; a policy may use any of it, and most of it is unknown most of the time."""
    if not choices.chance(30):
        return {}
    return {
        "size_bytes": 4096 * choices.integer(1, 4),
        "tenant": choices.one_of(["", "a", "b"]),
        "priority": choices.integer(0, 3),
        "recompute_cost_ms": choices.one_of([None, 0.5, 8.0]),
        "deadline_slack_ms": choices.one_of([None, 1.0, 250.0]),
    }


def _evict(play: Play, count: int) -> None:
    """Do what a full tier does: ask, and discard what was named, children first."""
    model: EvictionModel = play.model
    answer = play.do(Victims(count=count)).victims
    keys = [] if answer is None else [key for key in answer.keys or () if key in model.blocks]
    for key in sorted(set(keys), key=lambda name: -model.blocks[name].depth):
        play.do(Discard(key=key))


def _event(play: Play, counter: list[int]) -> None:
    model: EvictionModel = play.model
    choices = play.choices
    event = choices.weighted(_EVENTS)
    if event == "admit" or not model.blocks:
        _admit(play, counter)
    elif event == "touch":
        play.do(Touch(key=choices.one_of(list(model.blocks))))
    elif event == "stranger":
        play.do(Touch(key=choices.one_of(sorted(model.left) or ["never seen"])))
    elif event == "pin":
        play.do(Pin(key=choices.one_of(list(model.blocks))))
    elif event == "unpin":
        pinned = [key for key, block in model.blocks.items() if block.pins]
        if pinned:
            play.do(Unpin(key=choices.one_of(pinned)))
    elif event == "discard":
        play.do(Discard(key=choices.one_of(model.leaves())))
    elif event == "evict":
        _evict(play, choices.integer(1, 3))
    else:
        _ask(play)


def _ask(play: Play) -> None:
    """Ask for a number near the edges: one, all that may go, one more than that."""
    free = len(play.model.evictable())
    edges = [1, max(1, free // 2), max(1, free), free + 1]
    play.do(Victims(count=play.choices.one_of(edges)))


def _wander(play: Play, low: int, high: int) -> None:
    counter = [0]
    play.do(Create(capacity_blocks=play.choices.integer(2, 24)))
    for _ in range(play.choices.integer(2, 12)):
        _admit(play, counter)
    for _ in range(play.choices.integer(low, high)):
        _event(play, counter)
    _ask(play)


def wander(play: Play) -> None:
    """Any sequence of events on a small policy."""
    _wander(play, 10, 60)


def repeat(play: Play) -> None:
    """Any sequence of events, then the same again elsewhere, once with everything and once without vain questions."""
    _wander(play, 40, 80)
    play.do(Replay(hash_seed=play.choices.integer(1, 1000)))
    play.do(Replay(hash_seed=play.choices.integer(1, 1000), without_refusals=True))


def costs(play: Play) -> None:
    """Time events at two sizes, in three shapes."""
    for shape in ("flat", "chains", "pinned"):
        play.do(MeasureCost(capacities=(512, 8192), shape=shape, events=128))


def growth(play: Play) -> None:
    """Read the state after much churn."""
    for capacity in (16, 128):
        play.do(MeasureState(capacity_blocks=capacity, rounds=12))


SCENARIOS = (
    Scenario("wander", wander, certify=200, develop=200),
    Scenario("repeat", repeat, certify=12, develop=4),
    Scenario("costs", costs, certify=1, develop=1),
    Scenario("growth", growth, certify=1, develop=1),
)
