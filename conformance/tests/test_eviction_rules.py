"""The rules of eviction policies as what they are: functions of a model and a step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from sage_infer_conformance.judging.rules import Check
from sage_infer_conformance.kinds.eviction import rules
from sage_infer_conformance.kinds.eviction.model import EvictionModel
from sage_infer_conformance.kinds.eviction.steps import (
    Admit,
    Answer,
    Cost,
    Create,
    Discard,
    EvictionStep,
    MeasureCost,
    MeasureState,
    Pin,
    Replay,
    Touch,
    Unpin,
    Victims,
)


def step(command: Any, **found: Any) -> EvictionStep:
    return EvictionStep(command=command, **found)


def asked(count: int, *keys: str, none: bool = False) -> EvictionStep:
    return step(Victims(count=count), victims=Answer(keys=None if none else keys))


def model_after(*commands: Any) -> EvictionModel:
    model = EvictionModel()
    for command in (Create(capacity_blocks=8), *commands):
        model.apply(command if isinstance(command, EvictionStep) else step(command))
    return model


TREE = (
    Admit(key="a"),
    Admit(key="b", parent="a", depth=1),
    Admit(key="c", parent="a", depth=1),
    Admit(key="d"),
)


def faults(found: Iterable[Check]) -> list[str]:
    return [check.says for check in found if check.says is not None]


def test_a_pinned_block_and_a_stranger_may_not_be_proposed() -> None:
    model = model_after(*TREE, Pin(key="d"), Pin(key="d"), Unpin(key="d"))
    assert faults(rules.resident_and_unpinned(model, asked(2, "b", "c"))) == []
    assert "pinned 1 times" in faults(rules.resident_and_unpinned(model, asked(1, "d")))[0]
    assert "not resident" in faults(rules.resident_and_unpinned(model, asked(1, "z")))[0]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (asked(2, "b", "d"), None),
        (asked(2, "b"), "got 1"),
        (asked(2, "b", "b"), "twice"),
        (asked(4, none=True), "4 blocks may go"),
        (asked(5, none=True), None),
    ],
)
def test_exactly_as_many_or_none_while_fewer_may_go(answer: EvictionStep, says: str | None) -> None:
    found = faults(rules.exactly_as_many(model_after(*TREE), answer))
    assert [says in text for text in found] == ([] if says is None else [True])


def test_a_pin_keeps_everything_above_it() -> None:
    model = model_after(*TREE, Pin(key="b"))
    assert model.evictable() == {"c", "d"}
    assert faults(rules.exactly_as_many(model, asked(3, none=True))) == []


def test_no_block_goes_before_its_child() -> None:
    model = model_after(*TREE)
    assert faults(rules.prefix_closed(model, asked(3, "c", "b", "a"))) == []
    assert "its child ['c'] stays" in faults(rules.prefix_closed(model, asked(2, "b", "a")))[0]


def test_answers_are_compared_up_to_the_first_that_differs() -> None:
    model = model_after(*TREE, asked(1, "b"), asked(9, none=True), asked(1, "d"))
    same, other = Answer(keys=("b",)), Answer(keys=("c",))
    again = step(Replay(hash_seed=1), replayed=(same, Answer(), Answer(keys=("d",))))
    assert [check.says for check in rules.deterministic(model, again)] == [None] * 4
    changed = step(Replay(hash_seed=1), replayed=(other, Answer(), other))
    assert len(faults(rules.deterministic(model, changed))) == 1
    assert list(rules.exactly_as_many(model, again)) == []
    without = step(Replay(hash_seed=1, without_refusals=True), replayed=(same, Answer(keys=("d",))))
    assert faults(rules.exactly_as_many(model, without)) == []
    assert list(rules.deterministic(model, without)) == []
    moved = step(Replay(hash_seed=1, without_refusals=True), replayed=(same, other))
    assert "had the questions" in faults(rules.exactly_as_many(model, moved))[0]


def test_a_new_policy_starts_empty_and_its_answers_add_up() -> None:
    model = model_after(*TREE, asked(1, "b"), Create(capacity_blocks=2), Admit(key="x"), asked(1, "x"))
    assert set(model.blocks) == {"x"}
    assert [answer.keys for answer in model.answers] == [("b",), ("x",)]


@pytest.mark.parametrize(
    ("small_us", "large_us", "holds"),
    [(2.0, 3.0, True), (1.0, 11.0, True), (20.0, 101.0, False), (3.0, 40.0, False)],
)
def test_a_cost_may_grow_a_little_and_noise_is_no_growth(
    small_us: float, large_us: float, holds: bool
) -> None:
    command = MeasureCost(capacities=(512, 8192), shape="flat", events=128)
    cost = Cost(event="touch", small_us=small_us, large_us=large_us)
    assert (faults(rules.cost_does_not_grow(EvictionModel(), step(command, costs=(cost,)))) == []) is holds


@pytest.mark.parametrize(
    ("kib", "holds"), [((90, 90, 91, 90), True), ((60, 110, 60, 112), True), ((100, 200, 300, 400), False)]
)
def test_state_may_swell_and_shrink_and_not_grow(kib: tuple[int, ...], holds: bool) -> None:
    found = step(MeasureState(capacity_blocks=16, rounds=4), state_bytes=tuple(size * 1024 for size in kib))
    assert (faults(rules.state_is_bounded(EvictionModel(), found)) == []) is holds


def test_what_left_is_forgotten_and_what_came_back_is_new() -> None:
    model = model_after(*TREE, Pin(key="d"), Discard(key="d"), Discard(key="b"))
    assert "was discarded" in faults(rules.forgotten(model, asked(1, "d")))[0]
    assert faults(rules.forgotten(model, asked(1, "c"))) == []
    assert faults(rules.forgotten(model, asked(3, none=True))) == []
    assert "['a'] may go since a discard" in faults(rules.forgotten(model, asked(2, none=True)))[0]
    back = model_after(*TREE, Pin(key="d"), Discard(key="d"), Admit(key="d"), Touch(key="d"))
    assert back.blocks["d"].pins == 0
    assert "'d'" in faults(rules.forgotten(back, asked(4, none=True)))[0]


def test_a_step_that_failed_changes_nothing_and_says_nothing_of_victims() -> None:
    failed = EvictionStep.model_validate(
        {"command": {"op": "victims", "count": 1}, "error": {"type": "KeyError"}, "victims": {"keys": ["z"]}}
    )
    model = model_after(*TREE, failed)
    assert model.answers == []
    assert list(rules.forgotten(model, failed)) == []
    assert list(rules.resident_and_unpinned(model, failed)) == []
