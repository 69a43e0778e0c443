"""The eviction policy ``lru``: least recently used first, and no block before what hangs on it."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import attrs

from sage_infer_contracts.content import ContentKey
from sage_infer_contracts.errors import InvalidRequest
from sage_infer_contracts.eviction import BlockInfo

_SLACK_ENTRIES = 64
"""Keeps small policies from rebuilding their heap at every few events."""


@attrs.define(slots=True)
class _Node:
    """A resident block. ``last_use`` is the number of the event that used it."""

    parent: ContentKey | None
    last_use: int
    pins: int = 0


class LruEviction:
    """Proposes the blocks whose last use lies furthest back.

    ``_heap`` has an entry ``(last_use, key)`` for every block that may go now: unpinned, without resident children.
    Entries that went stale stay until they come up or are more than half of the heap, so an event costs amortised
    O(log n) and the heap holds O(capacity) entries. Owned by one thread.
    """

    def __init__(self, capacity_blocks: int) -> None:
        """Make a policy for ``capacity_blocks``; raises ``InvalidRequest`` when that is below 1."""
        if capacity_blocks < 1:
            raise InvalidRequest(
                f"capacity_blocks is {capacity_blocks}; at least 1 is needed", param="capacity_blocks"
            )
        self._nodes: dict[ContentKey, _Node] = {}
        self._children: dict[
            ContentKey, int
        ] = {}  # by parent, resident or not: it may be admitted after its child
        self._heap: list[tuple[int, ContentKey]] = []
        self._events = 0

    def admit(self, block: BlockInfo) -> None:
        """Take note of a block that became resident; one that was resident already counts as used."""
        if block.key in self._nodes:
            self.touch(block.key)
            return
        self._events += 1
        self._nodes[block.key] = _Node(block.parent, self._events)
        if block.parent is not None:
            self._children[block.parent] = self._children.get(block.parent, 0) + 1
        self._offer(block.key)

    def touch(self, key: ContentKey) -> None:
        """Take note of a use; unknown keys are ignored."""
        node = self._nodes.get(key)
        if node is not None:
            self._events += 1
            node.last_use = self._events
            self._offer(key)

    def pin(self, key: ContentKey) -> None:
        """Exclude a block from victims; pins count, unknown keys are ignored."""
        node = self._nodes.get(key)
        if node is not None:
            node.pins += 1

    def unpin(self, key: ContentKey) -> None:
        """Undo one pin; unknown keys and blocks without a pin are left as they are."""
        node = self._nodes.get(key)
        if node is not None and node.pins:
            node.pins -= 1
            self._offer(key)

    def discard(self, key: ContentKey) -> None:
        """Forget a block that left; unknown keys are ignored."""
        node = self._nodes.pop(key, None)
        if node is None or node.parent is None:
            return
        self._children[node.parent] -= 1
        if not self._children[node.parent]:
            del self._children[node.parent]
            self._offer(node.parent)

    def victims(self, count: int) -> Sequence[ContentKey] | None:
        """Propose exactly ``count`` blocks, the one to go first in front, or None; costs O(count log n)."""
        chosen: dict[ContentKey, None] = {}
        popped: list[tuple[int, ContentKey]] = []
        freed: list[tuple[int, ContentKey]] = []
        going: dict[ContentKey, int] = {}
        while len(chosen) < count and (entry := self._next(freed, popped)) is not None:
            chosen[entry[1]] = None
            self._free_parent(self._nodes[entry[1]].parent, going, freed)
        for entry in popped:
            heapq.heappush(self._heap, entry)
        return list(chosen) if len(chosen) == count else None

    def _next(
        self, freed: list[tuple[int, ContentKey]], popped: list[tuple[int, ContentKey]]
    ) -> tuple[int, ContentKey] | None:
        """Take the least recently used candidate: one that may go now, or one that the victims so far set free."""
        while self._heap and (not self._is_current(self._heap[0]) or self._heap[0] in popped[-1:]):
            heapq.heappop(self._heap)  # stale for good, or the same entry offered twice
        if freed and (not self._heap or freed[0] < self._heap[0]):
            return heapq.heappop(freed)
        if not self._heap:
            return None
        popped.append(heapq.heappop(self._heap))
        return popped[-1]

    def _free_parent(
        self, parent: ContentKey | None, going: dict[ContentKey, int], freed: list[tuple[int, ContentKey]]
    ) -> None:
        """Count one more child of ``parent`` among the victims; with the last one it becomes a candidate."""
        node = None if parent is None else self._nodes.get(parent)
        if node is None or parent is None:
            return
        going[parent] = going.get(parent, 0) + 1
        if going[parent] == self._children[parent] and not node.pins:
            heapq.heappush(freed, (node.last_use, parent))

    def _is_current(self, entry: tuple[int, ContentKey]) -> bool:
        last_use, key = entry
        node = self._nodes.get(key)
        return node is not None and node.last_use == last_use and not node.pins and key not in self._children

    def _offer(self, key: ContentKey) -> None:
        """Enter a block into the heap if it may go now."""
        node = self._nodes.get(key)
        if node is None or node.pins or key in self._children:
            return
        heapq.heappush(self._heap, (node.last_use, key))
        if len(self._heap) > 2 * len(self._nodes) + _SLACK_ENTRIES:
            self._heap = sorted({entry for entry in self._heap if self._is_current(entry)})
