"""A small correct policy, to hold the rules against, and for broken ones to be made from."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import attrs

from sage_infer_contracts.content import ContentKey
from sage_infer_contracts.eviction import BlockInfo


@attrs.define(slots=True)
class Node:
    """A resident block."""

    parent: ContentKey | None
    pins: int = 0
    children: int = 0


class ReferencePolicy:
    """The block that has been idle the longest goes first; a block is idle while nothing pins it or hangs on it.

    ``idle`` is in the order in which blocks became idle or were last used, so every event costs the same.
    """

    def __init__(self, capacity_blocks: int) -> None:
        self.capacity_blocks = capacity_blocks
        self.nodes: dict[ContentKey, Node] = {}
        self.idle: OrderedDict[ContentKey, None] = OrderedDict()

    def admit(self, block: BlockInfo) -> None:
        """Take note of a block that became resident."""
        self.nodes[block.key] = Node(block.parent)
        if block.parent in self.nodes:
            self.nodes[block.parent].children += 1
            self.idle.pop(block.parent, None)
        self._settle(block.key)

    def touch(self, key: ContentKey) -> None:
        """Take note of a use."""
        if key in self.idle:
            self.idle.move_to_end(key)

    def pin(self, key: ContentKey) -> None:
        """Exclude a block from victims."""
        self.nodes[key].pins += 1
        self.idle.pop(key, None)

    def unpin(self, key: ContentKey) -> None:
        """Undo one pin."""
        self.nodes[key].pins -= 1
        self._settle(key)

    def discard(self, key: ContentKey) -> None:
        """Forget a block that left."""
        node = self.nodes.pop(key)
        self.idle.pop(key, None)
        if node.parent in self.nodes:
            self.nodes[node.parent].children -= 1
            self._settle(node.parent)

    def victims(self, count: int) -> Sequence[ContentKey] | None:
        """Propose ``count`` blocks: the idle ones, then those that become idle once these have gone."""
        chosen: list[ContentKey] = []
        waiting = iter(self.idle)
        orphaned: list[ContentKey] = []
        left: dict[ContentKey, int] = {}
        while len(chosen) < count:
            key = next(waiting, None) or (orphaned.pop(0) if orphaned else None)
            if key is None:
                return None
            chosen.append(key)
            parent = self.nodes[key].parent
            if parent in self.nodes:
                left[parent] = left.get(parent, self.nodes[parent].children) - 1
                if not left[parent] and not self.nodes[parent].pins:
                    orphaned.append(parent)
        return chosen

    def _settle(self, key: ContentKey) -> None:
        node = self.nodes[key]
        if not node.pins and not node.children:
            self.idle[key] = None
            self.idle.move_to_end(key)
