"""Paged KV: blocks of real bytes, who holds them, and which can be shared by content."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence

from sage_infer_contracts.content import ContentKey, chain_key
from sage_infer_contracts.kv import KVCacheSchema


class Pool:
    """Blocks are free, cached (content under a key, nobody holds it) or held. Used under the engine's lock."""

    def __init__(self, blocks: int, schema: KVCacheSchema, root: ContentKey) -> None:
        self.schema = schema
        self.page = schema.page_size
        self.total = blocks
        self._token_bytes = schema.bytes_per_token
        self._data = [bytearray(schema.block_bytes) for _ in range(blocks)]
        self._refs = [0] * blocks
        self._free = deque(range(blocks))
        self._cached: OrderedDict[int, None] = OrderedDict()
        self._block_of: dict[ContentKey, int] = {}
        self._key_of: dict[int, ContentKey] = {}
        self.root = root

    @property
    def free(self) -> int:
        """Blocks that can be taken now, cached ones included."""
        return len(self._free) + len(self._cached)

    def blocks_for(self, tokens: int) -> int:
        """Return how many blocks hold ``tokens`` tokens."""
        return -(-tokens // self.page)

    def keys(self, tokens: Sequence[int]) -> list[ContentKey]:
        """Return the key of each whole block of ``tokens``."""
        keys: list[ContentKey] = []
        for start in range(0, len(tokens) - self.page + 1, self.page):
            keys.append(chain_key(keys[-1] if keys else self.root, tokens[start : start + self.page]))
        return keys

    def acquire(self, tokens: Sequence[int]) -> tuple[list[int], int] | None:
        """Hold blocks for ``tokens`` and one more; return them and how many tokens their content already covers.

        One token at least is left to compute: its logits give the next one. None, with no change, if they do not fit.
        """
        shared: list[int] = []
        for key in self.keys(tokens[:-1]):
            if key not in self._block_of:
                break
            shared.append(self._block_of[key])
        fresh = self.blocks_for(len(tokens) + 1) - len(shared)
        idle = sum(1 for block in shared if self._refs[block] == 0)
        if self.free - idle < fresh:
            return None
        for block in shared:
            self._cached.pop(block, None)
            self._refs[block] += 1
        return [*shared, *(self._take() for _ in range(fresh))], len(shared) * self.page

    def append(self) -> int | None:
        """Hold one more block; None when there is none."""
        return self._take() if self.free else None

    def release(self, blocks: Sequence[int]) -> None:
        """Drop one hold on each block, the last first, so that children leave the cache before their parents."""
        for block in reversed(blocks):
            self._refs[block] -= 1
            if self._refs[block] == 0:
                if block in self._key_of:
                    self._cached[block] = None
                else:
                    self._free.append(block)

    def publish(self, table: Sequence[int], tokens: Sequence[int], computed: int) -> None:
        """Make the whole blocks among the first ``computed`` tokens shareable."""
        for block, key in zip(table, self.keys(tokens[:computed]), strict=False):
            if block not in self._key_of and key not in self._block_of:
                self._block_of[key], self._key_of[block] = block, key

    def forget(self, root: ContentKey) -> None:
        """Drop all shared content: it was computed with other weights than those of ``root``."""
        self._free.extend(self._cached)
        self._cached.clear()
        self._block_of.clear()
        self._key_of.clear()
        self.root = root

    def read(self, table: Sequence[int], position: int) -> bytes:
        """Return the KV of one token."""
        at = position % self.page * self._token_bytes
        return bytes(self._data[table[position // self.page]][at : at + self._token_bytes])

    def write(self, table: Sequence[int], position: int, kv: bytes) -> None:
        """Store the KV of one token."""
        at = position % self.page * self._token_bytes
        self._data[table[position // self.page]][at : at + self._token_bytes] = kv

    def dump(self, table: Sequence[int], tokens: int) -> bytes:
        """Return the bytes of the blocks that hold ``tokens`` tokens."""
        return b"".join(bytes(self._data[block]) for block in table[: self.blocks_for(tokens)])

    def load(self, table: Sequence[int], data: bytes) -> None:
        """Fill blocks with ``data``."""
        size = self.schema.block_bytes
        for number in range(len(data) // size):
            self._data[table[number]][:] = data[number * size : (number + 1) * size]

    def _take(self) -> int:
        if self._free:
            block = self._free.popleft()
        else:
            block, _ = self._cached.popitem(last=False)
            del self._block_of[self._key_of.pop(block)]
        self._refs[block] = 1
        return block
