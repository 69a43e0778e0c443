"""Correct policies that do not work as the reference does: no rule may speak against them."""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterator, Sequence

import attrs

from sage_infer_contracts.content import ContentKey
from sage_infer_contracts.eviction import BlockInfo


@attrs.define(slots=True)
class Resident:
    """A resident block, the children of it that are resident, and when it was admitted and last used."""

    block: BlockInfo
    admitted: int
    used: int
    pins: int = 0
    children: int = 0

    @property
    def is_free(self) -> bool:
        return not self.pins and not self.children


class Tree:
    """What every policy must know; those below differ in how they rank what may go."""

    def __init__(self, capacity_blocks: int) -> None:
        self.capacity = capacity_blocks
        self.now = 0
        self.residents: dict[ContentKey, Resident] = {}

    def admit(self, block: BlockInfo) -> None:
        self.now += 1
        self.residents[block.key] = Resident(block, self.now, self.now)
        above = self.residents.get(block.parent) if block.parent is not None else None
        if above is not None and above.block.key != block.key:
            above.children += 1
            self.busy(above)
        self.changed(self.residents[block.key])

    def touch(self, key: ContentKey) -> None:
        resident = self.residents.get(key)
        if resident is not None:
            self.now += 1
            resident.used = self.now
            self.changed(resident)

    def pin(self, key: ContentKey) -> None:
        self.residents[key].pins += 1
        self.busy(self.residents[key])

    def unpin(self, key: ContentKey) -> None:
        self.residents[key].pins -= 1
        self.changed(self.residents[key])

    def discard(self, key: ContentKey) -> None:
        resident = self.residents.pop(key)
        self.busy(resident)
        above = self.residents.get(resident.block.parent) if resident.block.parent is not None else None
        if above is not None:
            above.children -= 1
            self.changed(above)

    def parents_set_free(self, chosen: list[ContentKey]) -> Iterator[ContentKey]:
        """Yield, while ``chosen`` grows, each parent whose children are all in it."""
        gone: dict[ContentKey, int] = {}
        for key in chosen:  # the list grows while this walks over it
            parent = self.residents[key].block.parent
            if parent not in self.residents:
                continue
            gone[parent] = gone.get(parent, 0) + 1
            if gone[parent] == self.residents[parent].children and not self.residents[parent].pins:
                yield parent

    def changed(self, resident: Resident) -> None:
        """The block may have become free, or its rank may be another."""

    def busy(self, resident: Resident) -> None:
        """The block is no longer free."""


class RandomEviction(Tree):
    """Any block that may go, drawn by a generator of its own that only answers move on.

    Asked twice it answers differently, which is allowed: nothing but the draw has changed.
    """

    def __init__(self, capacity_blocks: int, seed: int = 7) -> None:
        super().__init__(capacity_blocks)
        self.state = seed
        self.free: list[ContentKey] = []
        self.place: dict[ContentKey, int] = {}

    def changed(self, resident: Resident) -> None:
        key = resident.block.key
        if resident.is_free and key not in self.place:
            self.place[key] = len(self.free)
            self.free.append(key)

    def busy(self, resident: Resident) -> None:
        at = self.place.pop(resident.block.key, None)
        if at is not None:
            last = self.free.pop()
            if at < len(self.free):
                self.free[at] = last
                self.place[last] = at

    def victims(self, count: int) -> Sequence[ContentKey] | None:
        before = self.state
        chosen = [self.free[at] for at in self.draw(min(count, len(self.free)), len(self.free))]
        if len(chosen) < count:
            freed = self.parents_set_free(chosen)
            while len(chosen) < count and (parent := next(freed, None)) is not None:
                chosen.append(parent)
        if len(chosen) < count:
            self.state = before
            return None
        return chosen

    def draw(self, count: int, among: int) -> list[int]:
        """Draw places without repetition: Floyd's algorithm."""
        drawn: dict[int, None] = {}
        for highest in range(among - count, among):
            self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
            at = (self.state >> 33) % (highest + 1)
            drawn[highest if at in drawn else at] = None
        return list(drawn)


class Ranked(Tree):
    """The lowest rank first, from a heap whose stale entries are dropped as they come up. Plain, it is an LRU."""

    def __init__(self, capacity_blocks: int) -> None:
        super().__init__(capacity_blocks)
        self.heap: list[tuple[tuple[float, ...], ContentKey]] = []

    def rank(self, resident: Resident) -> tuple[float, ...]:
        return (resident.used,)

    def changed(self, resident: Resident) -> None:
        if resident.is_free:
            heapq.heappush(self.heap, (self.rank(resident), resident.block.key))
        if len(self.heap) > 3 * len(self.residents) + 50:
            free = (each for each in self.residents.values() if each.is_free)
            self.heap = [(self.rank(each), each.block.key) for each in free]
            heapq.heapify(self.heap)

    def victims(self, count: int) -> Sequence[ContentKey] | None:
        taken: list[tuple[tuple[float, ...], ContentKey]] = []
        chosen: list[ContentKey] = []
        while self.heap and len(chosen) < count:
            entry = heapq.heappop(self.heap)
            resident = self.residents.get(entry[1])
            stale = resident is None or not resident.is_free or entry[0] != self.rank(resident)
            if not stale and entry not in taken[-1:]:
                taken.append(entry)
                chosen.append(entry[1])
        freed = self.parents_set_free(chosen)
        while len(chosen) < count and (parent := next(freed, None)) is not None:
            chosen.append(parent)
        for entry in taken:
            heapq.heappush(self.heap, entry)
        return chosen if len(chosen) == count else None


class FifoEviction(Ranked):
    """First in, first out; uses do not count."""

    def rank(self, resident: Resident) -> tuple[float, ...]:
        return (resident.admitted,)


class MostRecentlyUsed(Ranked):
    """What was used last goes first, which suits scans."""

    def rank(self, resident: Resident) -> tuple[float, ...]:
        return (-resident.used,)


class HintedEviction(Ranked):
    """Low priority first, then what is cheap to compute again, then what has time, then the longest unused."""

    def rank(self, resident: Resident) -> tuple[float, ...]:
        block = resident.block
        cost, slack = block.recompute_cost_ms, block.deadline_slack_ms
        return (
            block.priority,
            -1.0 if cost is None else cost,
            0.0 if slack is None else -slack,
            resident.used,
        )


class GhostEviction(Tree):
    """Two queues: a block that comes back soon after it left is protected. As many ghosts as blocks are remembered."""

    def __init__(self, capacity_blocks: int) -> None:
        super().__init__(capacity_blocks)
        self.trial: OrderedDict[ContentKey, None] = OrderedDict()
        self.proven: OrderedDict[ContentKey, None] = OrderedDict()
        self.ghosts: OrderedDict[ContentKey, None] = OrderedDict()
        self.promoted: set[ContentKey] = set()

    def admit(self, block: BlockInfo) -> None:
        if block.key in self.ghosts:
            del self.ghosts[block.key]
            self.promoted.add(block.key)
        super().admit(block)

    def discard(self, key: ContentKey) -> None:
        super().discard(key)
        self.promoted.discard(key)
        self.ghosts[key] = None
        if len(self.ghosts) > self.capacity:
            self.ghosts.popitem(last=False)

    def changed(self, resident: Resident) -> None:
        self.busy(resident)
        if resident.is_free:
            queue = self.proven if resident.block.key in self.promoted else self.trial
            queue[resident.block.key] = None

    def busy(self, resident: Resident) -> None:
        self.trial.pop(resident.block.key, None)
        self.proven.pop(resident.block.key, None)

    def victims(self, count: int) -> Sequence[ContentKey] | None:
        chosen: list[ContentKey] = []
        for queue in (self.trial, self.proven):
            for key in queue:
                if len(chosen) == count:
                    return chosen
                chosen.append(key)
        freed = self.parents_set_free(chosen)
        while len(chosen) < count and (parent := next(freed, None)) is not None:
            chosen.append(parent)
        return chosen if len(chosen) == count else None
