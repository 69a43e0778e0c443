"""How histories of a tier are drawn."""

from __future__ import annotations

from ..suite import Play, Scenario
from .steps import AskUsage, Contains, Create, Get, Put, Remove, TakeLost


def wander(play: Play) -> None:
    """Any sequence of operations."""
    choices = play.choices
    nbytes = choices.one_of([4096, 1000, 8192])
    play.do(Create(capacity_bytes=nbytes * choices.integer(1, 8) + choices.one_of([0, 1, nbytes - 1])))
    for _ in range(choices.integer(5, 30)):
        keys = tuple(sorted({f"b{choices.integer(0, 9)}" for _ in range(choices.integer(1, 4))}))
        op = choices.weighted({"put": 5, "get": 5, "contains": 2, "remove": 3, "usage": 2, "lost": 1})
        if op == "put":
            play.do(Put(keys=keys, nbytes=nbytes, version=choices.integer(0, 2)))
        elif op == "get":
            play.do(Get(keys=keys, nbytes=nbytes))
        elif op == "contains":
            play.do(Contains(keys=keys))
        elif op == "remove":
            play.do(Remove(keys=keys))
        else:
            play.do(AskUsage() if op == "usage" else TakeLost())


SCENARIOS = (Scenario("wander", wander, certify=100, develop=100),)
