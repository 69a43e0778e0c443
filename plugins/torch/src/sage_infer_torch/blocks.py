"""BlockManager: who holds which KV block, and which blocks can be shared.

Every block is in exactly one of three places::

    free    : no content
    cached  : content under a key, nobody holds it; evictable, least recently released first
    held    : one or more holders; with a key once its content is complete
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence

from sage_infer_contracts.content import ContentKey, chain_key


class BlockManager:
    """Owns block numbers, not memory. Used by one thread."""

    def __init__(self, num_blocks: int, block_size: int, root: ContentKey, *, share: bool = True) -> None:
        self.num_blocks = num_blocks
        self.block_size = block_size
        self.share = share
        self._root = root
        self._free: deque[int] = deque(range(num_blocks))
        self._cached: OrderedDict[int, None] = OrderedDict()
        self._refs = [0] * num_blocks
        self._block_of: dict[ContentKey, int] = {}
        self._key_of: dict[int, ContentKey] = {}

    @property
    def num_free(self) -> int:
        """Blocks that can be allocated now, cached ones included."""
        return len(self._free) + len(self._cached)

    @property
    def num_held(self) -> int:
        """Blocks with at least one holder."""
        return self.num_blocks - self.num_free

    def blocks_for(self, tokens: int) -> int:
        """Return how many blocks hold ``tokens`` tokens."""
        return -(-tokens // self.block_size)

    def extend_keys(self, keys: list[ContentKey], token_ids: Sequence[int]) -> None:
        """Append to ``keys`` the keys of the full blocks of ``token_ids`` that it lacks."""
        for index in range(len(keys), len(token_ids) // self.block_size):
            parent = keys[-1] if keys else self._root
            start = index * self.block_size
            keys.append(chain_key(parent, token_ids[start : start + self.block_size]))

    def match(self, keys: Sequence[ContentKey]) -> list[int]:
        """Return the resident blocks of the longest known prefix of ``keys``; nothing is taken yet."""
        found: list[int] = []
        for key in keys if self.share else ():
            block = self._block_of.get(key)
            if block is None:
                break
            found.append(block)
        return found

    def acquire(self, shared: Sequence[int], total: int, *, keep_free: int = 0) -> list[int] | None:
        """Hold ``shared`` and fresh blocks, ``total`` together; None, with no change, if they do not fit.

        ``keep_free`` blocks stay allocatable afterwards.
        """
        revived = sum(1 for block in shared if self._refs[block] == 0)
        if self.num_free - revived - (total - len(shared)) < keep_free:
            return None
        for block in shared:
            self._hold(block)
        return [*shared, *(self._take() for _ in range(total - len(shared)))]

    def append(self) -> int | None:
        """Hold one fresh block; None when there is none."""
        return self._take() if self.num_free else None

    def register(self, block: int, key: ContentKey) -> None:
        """Make the complete content of a held block shareable; a no-op when the key is known already."""
        if self.share and block not in self._key_of and key not in self._block_of:
            self._block_of[key] = block
            self._key_of[block] = key

    def release(self, blocks: Sequence[int]) -> None:
        """Drop one hold on each of ``blocks``, a sequence's in order.

        From the tail: a block is then never evicted before its children, which would be useless without it.
        """
        for block in reversed(blocks):
            self._refs[block] -= 1
            if self._refs[block] == 0:
                if block in self._key_of:
                    self._cached[block] = None
                else:
                    self._free.append(block)

    def check_integrity(self) -> None:
        """Raise RuntimeError when a block is lost, in two places, or indexed wrongly."""
        free, cached = set(self._free), set(self._cached)
        held = {block for block, refs in enumerate(self._refs) if refs > 0}
        problems = [
            (min(self._refs, default=0) < 0, "a block was released more often than held"),
            (len(free) != len(self._free), "a block is free twice"),
            (bool(free & cached or free & held or cached & held), "a block is in two places"),
            (len(free) + len(cached) + len(held) != self.num_blocks, "a block is lost"),
            (bool(free & set(self._key_of)), "a free block has a key"),
            (not cached <= set(self._key_of), "a cached block has no key"),
            ({b: k for k, b in self._block_of.items()} != self._key_of, "the two indexes disagree"),
        ]
        broken = [text for failed, text in problems if failed]
        if broken:
            raise RuntimeError(f"KV block accounting is broken: {'; '.join(broken)}")

    def _hold(self, block: int) -> None:
        if self._refs[block] == 0:
            del self._cached[block]
        self._refs[block] += 1

    def _take(self) -> int:
        if self._free:
            block = self._free.popleft()
        else:
            block, _ = self._cached.popitem(last=False)
            del self._block_of[self._key_of.pop(block)]
        self._refs[block] = 1
        return block
