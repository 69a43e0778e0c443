"""Broken eviction policies."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence

from sage_infer_contracts.content import ContentKey
from sage_infer_contracts.eviction import BlockInfo

from ..kinds.eviction.reference import Node, ReferencePolicy
from .mutant import Ward

MUTANTS = Ward("eviction")


@MUTANTS.add("EV-01", "a touch makes a pinned block a candidate again")
class TouchForgetsPin(ReferencePolicy):
    def touch(self, key: ContentKey) -> None:
        super().touch(key)
        if key in self.nodes and not self.nodes[key].children:
            self.idle[key] = None


@MUTANTS.add("EV-01", "pins are a flag, so the first unpin undoes them all")
class PinsDoNotCount(ReferencePolicy):
    def pin(self, key: ContentKey) -> None:
        self.nodes[key].pins = 0
        super().pin(key)


@MUTANTS.add("EV-01", "a parent whose children all go is taken along although it is pinned")
class TakesPinnedParent(ReferencePolicy):
    def victims(self, count: int) -> Sequence[ContentKey] | None:
        pins = {key: node.pins for key, node in self.nodes.items() if node.children}
        for key in pins:
            self.nodes[key].pins = 0
        try:
            return super().victims(count)
        finally:
            for key, number in pins.items():
                self.nodes[key].pins = number


@MUTANTS.add("EV-02", "off by one: a block more than asked for, where there is one")
class OneTooMany(ReferencePolicy):
    def victims(self, count: int) -> Sequence[ContentKey] | None:
        return super().victims(count + 1) or super().victims(count)


@MUTANTS.add("EV-02", "gives what it has when it cannot give as many as asked")
class AsManyAsThereAre(ReferencePolicy):
    def victims(self, count: int) -> Sequence[ContentKey] | None:
        for fewer in range(count, 0, -1):
            found = super().victims(fewer)
            if found is not None:
                return found
        return None


@MUTANTS.add("EV-02", "a question that cannot be met reorders the queue")
class RefusalReorders(ReferencePolicy):
    def victims(self, count: int) -> Sequence[ContentKey] | None:
        found = super().victims(count)
        if found is None and self.idle:
            self.idle.move_to_end(next(iter(self.idle)))
        return found


@MUTANTS.add("EV-02", "sees only the leaves, so it gives up while parents could follow them")
class LeavesOnly(ReferencePolicy):
    def victims(self, count: int) -> Sequence[ContentKey] | None:
        return list(self.idle)[:count] if len(self.idle) >= count else None


@MUTANTS.add("EV-03", "plain LRU: knows nothing of parents")
class IgnoresParents(ReferencePolicy):
    def admit(self, block: BlockInfo) -> None:
        self.nodes[block.key] = Node(None)
        self._settle(block.key)


@MUTANTS.add("EV-03", "a parent is free once one of its children has gone")
class FirstChildFreesParent(ReferencePolicy):
    def discard(self, key: ContentKey) -> None:
        parent = self.nodes[key].parent
        super().discard(key)
        if parent in self.nodes and not self.nodes[parent].pins:
            self.idle[parent] = None


@MUTANTS.add("EV-04", "walks a set, whose order changes from process to process")
class WalksASet(ReferencePolicy):
    def victims(self, count: int) -> Sequence[ContentKey] | None:
        found = super().victims(count)
        if found is None or count >= len(self.idle):
            return found
        return list(itertools.islice(set(self.idle), count))


@MUTANTS.add("EV-04", "lets blocks expire by the wall clock")
class WallClock(ReferencePolicy):
    def __init__(self, capacity_blocks: int) -> None:
        super().__init__(capacity_blocks)
        self.seen: dict[ContentKey, float] = {}

    def admit(self, block: BlockInfo) -> None:
        super().admit(block)
        self.seen[block.key] = time.monotonic()

    def discard(self, key: ContentKey) -> None:
        super().discard(key)
        self.seen.pop(key, None)

    def victims(self, count: int) -> Sequence[ContentKey] | None:
        expired = [key for key in self.idle if time.monotonic() - self.seen[key] > 600]
        for key in reversed(expired):
            self.idle.move_to_end(key, last=False)
        return super().victims(count)


@MUTANTS.add("EV-05", "searches a list at every touch")
class ListTouch(ReferencePolicy):
    def __init__(self, capacity_blocks: int) -> None:
        super().__init__(capacity_blocks)
        self.order: list[ContentKey] = []

    def admit(self, block: BlockInfo) -> None:
        super().admit(block)
        self.order.append(block.key)

    def touch(self, key: ContentKey) -> None:
        super().touch(key)
        if key in self.nodes:
            self.order.remove(key)
            self.order.append(key)

    def discard(self, key: ContentKey) -> None:
        super().discard(key)
        self.order.remove(key)


@MUTANTS.add("EV-05", "walks over every pinned block to find one that may go")
class WalksOverPinned(ReferencePolicy):
    def victims(self, count: int) -> Sequence[ContentKey] | None:
        for key, node in self.nodes.items():
            if not node.pins:
                break
            self.idle.pop(key, None)
        return super().victims(count)


@MUTANTS.add("EV-06", "keeps a ghost of every block it ever saw")
class GhostsForever(ReferencePolicy):
    def __init__(self, capacity_blocks: int) -> None:
        super().__init__(capacity_blocks)
        self.ghosts: set[ContentKey] = set()

    def discard(self, key: ContentKey) -> None:
        super().discard(key)
        self.ghosts.add(key)


@MUTANTS.add("EV-06", "counts uses of blocks it does not hold")
class CountsStrangers(ReferencePolicy):
    def __init__(self, capacity_blocks: int) -> None:
        super().__init__(capacity_blocks)
        self.uses: dict[ContentKey, int] = {}

    def touch(self, key: ContentKey) -> None:
        super().touch(key)
        self.uses[key] = self.uses.get(key, 0) + 1

    def discard(self, key: ContentKey) -> None:
        super().discard(key)
        self.uses.pop(key, None)


@MUTANTS.add("EV-07", "a block that comes back is still pinned from its former life")
class PinsSurvive(ReferencePolicy):
    def __init__(self, capacity_blocks: int) -> None:
        super().__init__(capacity_blocks)
        self.former: dict[ContentKey, int] = {}

    def discard(self, key: ContentKey) -> None:
        if self.nodes[key].pins:
            self.former[key] = self.nodes[key].pins
        super().discard(key)
        while len(self.former) > self.capacity_blocks:
            del self.former[next(iter(self.former))]

    def admit(self, block: BlockInfo) -> None:
        super().admit(block)
        if block.key in self.former:
            self.nodes[block.key].pins = self.former[block.key]
            self.idle.pop(block.key, None)


@MUTANTS.add("EV-07", "a discarded child still holds its parent")
class ChildrenSurvive(ReferencePolicy):
    def discard(self, key: ContentKey) -> None:
        parent = self.nodes[key].parent
        pinned = bool(self.nodes[key].pins)
        super().discard(key)
        if pinned and parent in self.nodes:
            self.nodes[parent].children += 1
            self.idle.pop(parent, None)


@MUTANTS.add("EV-07", "a block that was discarded while it was not first in line is proposed later")
class DiscardLeavesEntry(ReferencePolicy):
    def discard(self, key: ContentKey) -> None:
        first = next(iter(self.idle), None)
        node = self.nodes[key]
        super().discard(key)
        if key != first and not node.pins:
            self.nodes[key] = Node(None)
            self.idle[key] = None
        for stale in list(self.idle)[: max(0, len(self.idle) - self.capacity_blocks)]:
            del self.idle[stale]
            self.nodes.pop(stale, None)
