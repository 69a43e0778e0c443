"""EV-01 to EV-07, each a pure function of the model and a step."""

from __future__ import annotations

from collections.abc import Iterable

from ...judging.rules import HELD, Check, Rule, Stated, broken, check
from .model import EvictionModel
from .steps import Answer, EvictionStep, Victims

COST_RATIO = 5.0
"""Between capacities 16 apart, an event may become this much dearer. O(log n) gives 1.5, O(n) gives 16."""
COST_NOISE_US = 12.0
"""Differences below this are not told from noise of the machine."""
STATE_RATIO, STATE_SLACK_BYTES = 1.25, 32 * 1024
"""The largest state in the second half of the rounds against the largest in the first: what tidies up now and then has
reached its most by then, and what is never tidied up has doubled."""


def _answer(step: EvictionStep) -> tuple[str, ...] | None:
    return step.victims.keys if step.victims is not None and step.error is None else None


def resident_and_unpinned(model: EvictionModel, step: EvictionStep) -> Iterable[Check]:
    """EV-01."""
    for key in _answer(step) or ():
        block = model.blocks.get(key)
        if block is None:
            yield broken(f"{key} is proposed and is not resident")
        else:
            yield check(block.pins == 0, f"{key} is proposed and is pinned {block.pins} times")


def exactly_as_many(model: EvictionModel, step: EvictionStep) -> Iterable[Check]:
    """EV-02. What None left behind is seen in a replay without the questions that None answered."""
    command = step.command
    if isinstance(command, Victims) and step.victims is not None:
        keys = step.victims.keys
        if keys is None:
            free = len(model.evictable())
            yield check(free < command.count, f"None for {command.count} victims, and {free} blocks may go")
        else:
            yield check(len(keys) == command.count, f"asked for {command.count} victims, got {len(keys)}")
            yield check(len(set(keys)) == len(keys), f"a block is proposed twice: {list(keys)}")
    elif command.op == "replay" and command.without_refusals and step.replayed is not None:
        given = [answer for answer in model.answers if answer.keys is not None]
        yield from _same(given, step.replayed, "had the questions that None answered not been asked,")


def prefix_closed(model: EvictionModel, step: EvictionStep) -> Iterable[Check]:
    """EV-03."""
    going = set(_answer(step) or ())
    for key in sorted(going):
        block = model.blocks.get(key)
        if block is not None:
            staying = sorted(block.children - going)
            yield check(not staying, f"{key} is proposed and its child {staying[:1]} stays")


def deterministic(model: EvictionModel, step: EvictionStep) -> Iterable[Check]:
    """EV-04."""
    if step.command.op == "replay" and not step.command.without_refusals and step.replayed is not None:
        yield from _same(model.answers, step.replayed, "with the same events in another process,")


def cost_does_not_grow(_: EvictionModel, step: EvictionStep) -> Iterable[Check]:
    """EV-05."""
    for cost in step.costs:
        grown = cost.large_us > COST_RATIO * cost.small_us and cost.large_us - cost.small_us > COST_NOISE_US
        grew = f"{cost.small_us:.1f} us with few blocks and {cost.large_us:.1f} us with 16 times as many"
        says = f"{cost.event} takes {grew}"
        yield check(not grown, says)


def state_is_bounded(_: EvictionModel, step: EvictionStep) -> Iterable[Check]:
    """EV-06."""
    if not step.state_bytes:
        return
    half = len(step.state_bytes) // 2
    early, late = max(step.state_bytes[:half]), max(step.state_bytes[half:])
    says = f"its state grew from {early} to {late} bytes while it never held more blocks"
    yield check(late <= STATE_RATIO * early + STATE_SLACK_BYTES, says)


def forgotten(model: EvictionModel, step: EvictionStep) -> Iterable[Check]:
    """EV-07: a block that left is not proposed; one that came back owes nothing to its former life."""
    if step.victims is None or step.error is not None or not isinstance(step.command, Victims):
        return
    gone = [key for key in step.victims.keys or () if key in model.left]
    if gone:
        yield broken(f"{gone[0]} was discarded and is proposed")
    elif step.victims.keys is not None:
        yield HELD
    else:
        free = model.evictable()
        lost = sorted(key for key in free if model.blocks[key].remembers)
        held = len(free) < step.command.count or not lost
        yield check(held, f"{lost[:1]} may go since a discard, and is not proposed")


def _same(given: list[Answer], again: tuple[Answer, ...], how: str) -> Iterable[Check]:
    """Compare answer by answer up to the first that differs: what follows it may differ for that reason alone."""
    for number, (one, other) in enumerate(zip(given, again, strict=False), start=1):
        if one != other:
            yield broken(f"{how} answer {number} is {other.keys} and was {one.keys}")
            return
        yield HELD
    yield check(len(given) == len(again), f"{how} {len(again)} answers came and {len(given)} were given")


RULES = (
    Rule("EV-01", "sampled", 500, resident_and_unpinned),
    Rule("EV-02", "sampled", 300, exactly_as_many),
    Rule("EV-03", "sampled", 500, prefix_closed),
    Rule("EV-04", "sampled", 100, deterministic),
    Rule("EV-05", "timed", 10, cost_does_not_grow),
    Rule("EV-06", "sampled", 3, state_is_bounded),
    Rule("EV-07", "sampled", 300, forgotten),
)
STATED: tuple[Stated, ...] = ()
