"""The tier ``dram``: blocks in host memory, each with a checksum."""

from __future__ import annotations

import ctypes
import zlib

from sage_infer_contracts.store import BlockOutcome
from sage_infer_contracts.tiers.transfers import CHUNK_BYTES, Copy, Crew
from sage_infer_contracts.tiers.volatile import Block, VolatileTier, require_capacity


class _Buffer:
    """Memory, and where it is."""

    def __init__(self, nbytes: int) -> None:
        self.memory = bytearray(nbytes)
        self.view = memoryview(self.memory)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))


class DramTier(VolatileTier[_Buffer]):
    """Blocks in buffers that are used again; buffers in use and spare ones never take more than the capacity.

    ``checksum`` off doubles the speed and leaves bit errors to the memory's ECC.
    """

    def __init__(
        self,
        *,
        capacity_bytes: int,
        workers: int = 4,
        checksum: bool = True,
        max_pending: int = 65_536,
        inline_bytes: int = 1 << 20,
    ) -> None:
        require_capacity(capacity_bytes)
        crew = Crew("dram", workers=workers, max_pending=max_pending, inline_bytes=inline_bytes)
        super().__init__("dram", crew, capacity_bytes=capacity_bytes)
        self._checksum = checksum

    def close(self) -> None:
        """Forget every block."""
        self._crew.close()
        self._forget()

    def _put(self, copy: Copy) -> None:
        block = self._begin_put(copy)
        if block is None:
            return
        stored = False
        try:
            buffer = block.memory = self._take_spare(block.nbytes) or _Buffer(block.nbytes)
            block.checksum = self._carry(copy, buffer, into_region=False)
            stored = copy.end(BlockOutcome("stored"), lambda: self._show(copy.name, block))
        finally:
            self._end_put(copy.name, block, stored=stored)

    def _get(self, copy: Copy) -> None:
        block = self._begin_get(copy)
        if block is None:
            return
        try:
            copy.end(self._read(copy, block))
        finally:
            self._end_get(block)

    def _read(self, copy: Copy, block: Block[_Buffer]) -> BlockOutcome:
        buffer = block.memory
        if buffer is None or block.nbytes != copy.region.nbytes:
            return BlockOutcome(
                "missing", f"the block has {block.nbytes} bytes, the region {copy.region.nbytes}"
            )
        if self._carry(copy, buffer, into_region=True) == block.checksum:
            return BlockOutcome("hit")
        return self._lose(copy.name, block, "corrupt", "the checksum is wrong")

    def _carry(self, copy: Copy, buffer: _Buffer, *, into_region: bool) -> int:
        """Copy a chunk at a time and return the checksum of what the buffer holds, or 0."""
        checksum = 0
        for offset in range(0, len(buffer.memory), CHUNK_BYTES):
            nbytes = min(CHUNK_BYTES, len(buffer.memory) - offset)
            copy.move(offset, buffer.address + offset, nbytes, into_region=into_region)
            if self._checksum:
                checksum = zlib.crc32(buffer.view[offset : offset + nbytes], checksum)
        return checksum
