"""The block manager keeps every block accounted for, whatever happens to it."""

from __future__ import annotations

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sage_infer_contracts.content import ContentKey, ContentRoot
from sage_infer_torch.blocks import BlockManager

ROOT = ContentRoot(model_fingerprint="m").key()
SIZE = 4


def keys_of(manager: BlockManager, tokens: list[int]) -> list[ContentKey]:
    keys: list[ContentKey] = []
    manager.extend_keys(keys, tokens)
    return keys


def hold(manager: BlockManager, tokens: list[int]) -> list[int]:
    """Acquire and register the blocks of ``tokens``, as a completed prefill does."""
    keys = keys_of(manager, tokens)
    shared = manager.match(keys)
    blocks = manager.acquire(shared, manager.blocks_for(len(tokens)))
    assert blocks is not None
    for block, key in zip(blocks, keys, strict=False):
        manager.register(block, key)
    return blocks


def test_equal_beginnings_share_blocks_and_different_ones_do_not() -> None:
    manager = BlockManager(16, SIZE, ROOT)
    one = hold(manager, [1, 2, 3, 4, 5, 6, 7, 8, 9])
    two = hold(manager, [1, 2, 3, 4, 5, 6, 7, 8, 10])
    three = hold(manager, [9, 2, 3, 4, 5, 6, 7, 8, 9])
    assert one[:2] == two[:2]
    assert one[2] != two[2]
    assert not set(three) & set(one)
    manager.check_integrity()


def test_a_block_is_matched_only_behind_its_parent() -> None:
    manager = BlockManager(16, SIZE, ROOT)
    hold(manager, [1, 2, 3, 4, 5, 6, 7, 8])
    assert manager.match(keys_of(manager, [0, 0, 0, 0, 5, 6, 7, 8])) == []


def test_namespaces_do_not_share() -> None:
    one = ContentRoot(model_fingerprint="m", namespace="a").key()
    other = ContentRoot(model_fingerprint="m", namespace="b").key()
    manager, stranger = BlockManager(4, SIZE, one), BlockManager(4, SIZE, other)
    assert keys_of(manager, [1, 2, 3, 4]) != keys_of(stranger, [1, 2, 3, 4])


def test_sharing_can_be_turned_off() -> None:
    manager = BlockManager(16, SIZE, ROOT, share=False)
    assert not set(hold(manager, [1, 2, 3, 4])) & set(hold(manager, [1, 2, 3, 4]))


def test_the_tail_of_the_least_recent_sequence_is_evicted_first() -> None:
    manager = BlockManager(4, SIZE, ROOT)
    old, new = [1] * 8, [2] * 8
    manager.release(hold(manager, old))
    manager.release(hold(manager, new))
    assert manager.append() is not None
    assert len(manager.match(keys_of(manager, old))) == 1
    assert len(manager.match(keys_of(manager, new))) == 2


def test_a_failed_acquire_changes_nothing() -> None:
    manager = BlockManager(4, SIZE, ROOT)
    manager.release(hold(manager, [1, 2, 3, 4, 5, 6, 7, 8]))
    shared = manager.match(keys_of(manager, [1, 2, 3, 4, 5, 6, 7, 8]))
    assert manager.acquire(shared, 5) is None
    assert manager.acquire(shared, 4, keep_free=1) is None
    assert manager.num_free == 4
    manager.check_integrity()


class Blocks(RuleBasedStateMachine):
    """Sequences come, grow and go in any order over a small pool."""

    def __init__(self) -> None:
        super().__init__()
        self.manager = BlockManager(8, SIZE, ROOT)
        self.live: list[tuple[list[int], list[int]]] = []

    @rule(tokens=st.lists(st.integers(0, 1), min_size=1, max_size=20), keep_free=st.integers(0, 3))
    def admit(self, tokens: list[int], keep_free: int) -> None:
        keys = keys_of(self.manager, tokens)
        shared = self.manager.match(keys)
        free_before = self.manager.num_free
        blocks = self.manager.acquire(shared, self.manager.blocks_for(len(tokens)), keep_free=keep_free)
        if blocks is None:
            assert self.manager.num_free == free_before
            return
        assert self.manager.num_free >= keep_free
        assert blocks[: len(shared)] == shared
        for block, key in zip(blocks, keys, strict=False):
            self.manager.register(block, key)
        self.live.append((tokens, blocks))

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def grow(self, data: st.DataObject) -> None:
        _, blocks = data.draw(st.sampled_from(self.live))
        free = self.manager.num_free
        block = self.manager.append()
        assert (block is None) == (free == 0)
        if block is not None:
            blocks.append(block)

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.live) - 1))
        self.manager.release(self.live.pop(index)[1])

    @invariant()
    def accounted(self) -> None:
        self.manager.check_integrity()
        held = {block for _, blocks in self.live for block in blocks}
        assert self.manager.num_held == len(held)
        assert self.manager.num_free == self.manager.num_blocks - len(held)


TestBlocks = Blocks.TestCase
TestBlocks.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
