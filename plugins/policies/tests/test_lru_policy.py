"""What LRU adds to the contract: which of the blocks that may go is proposed. The rest is the kit's to judge."""

from __future__ import annotations

import random

import pytest

from sage_infer_contracts.content import ContentKey
from sage_infer_contracts.errors import InvalidRequest
from sage_infer_contracts.eviction import BlockInfo
from sage_infer_policies.lru import LruEviction


def key(number: int) -> ContentKey:
    return ContentKey(number.to_bytes(32, "big"))


def block(number: int, parent: int | None = None) -> BlockInfo:
    above = None if parent is None else key(parent)
    return BlockInfo(key=key(number), size_bytes=1, depth=0 if parent is None else 1, parent=above)


def policy_of(*numbers: int, capacity: int = 16) -> LruEviction:
    policy = LruEviction(capacity)
    for number in numbers:
        policy.admit(block(number))
    return policy


def test_the_block_whose_last_use_lies_furthest_back_goes_first() -> None:
    policy = policy_of(1, 2, 3)
    policy.touch(key(1))
    policy.touch(key(99))
    assert policy.victims(3) == [key(2), key(3), key(1)]


def test_a_parent_goes_with_its_last_child_and_keeps_its_own_place_in_the_order() -> None:
    policy = policy_of(1)
    policy.admit(block(2, parent=1))
    policy.admit(block(3))
    policy.touch(key(2))
    assert policy.victims(1) == [key(3)]
    assert policy.victims(3) == [key(3), key(2), key(1)]
    policy.touch(key(3))
    assert policy.victims(2) == [key(2), key(1)], "the parent was used before block 3"


def test_a_parent_that_comes_after_its_child_waits_for_it() -> None:
    policy = LruEviction(4)
    policy.admit(block(2, parent=1))
    policy.admit(block(1))
    policy.touch(key(2))
    assert policy.victims(1) == [key(2)]
    assert policy.victims(2) == [key(2), key(1)]


def test_pins_count_and_a_pinned_child_keeps_its_parent() -> None:
    policy = policy_of(1)
    policy.admit(block(2, parent=1))
    for _ in range(2):
        policy.pin(key(2))
    policy.unpin(key(2))
    assert policy.victims(1) is None
    policy.unpin(key(2))
    policy.unpin(key(2))
    assert policy.victims(2) == [key(2), key(1)]


def test_a_pin_and_unpin_does_not_count_as_use_and_is_proposed_once() -> None:
    policy = policy_of(1, 2)
    for _ in range(5):
        policy.pin(key(1))
        policy.unpin(key(1))
    assert policy.victims(2) == [key(1), key(2)]
    assert policy.victims(3) is None


def test_asking_changes_nothing_and_a_discarded_block_comes_back_as_new() -> None:
    policy = policy_of(1, 2, 3)
    assert policy.victims(2) == policy.victims(2) == [key(1), key(2)]
    policy.discard(key(1))
    policy.discard(key(99))
    policy.admit(block(1))
    assert policy.victims(3) == [key(2), key(3), key(1)]


def test_a_block_that_is_admitted_twice_counts_as_used() -> None:
    policy = policy_of(1, 2, 1)
    assert policy.victims(2) == [key(2), key(1)]


def test_the_heap_stays_small_whatever_is_touched() -> None:
    policy = policy_of(*range(8), capacity=8)
    drawn = random.Random(0)
    for _ in range(20_000):
        policy.touch(key(drawn.randrange(8)))
    assert len(policy._heap) <= 2 * 8 + 64


def test_a_policy_for_no_blocks_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="at least 1"):
        LruEviction(0)
