"""The tier ``hbm``: blocks in the memory of one device, each with a checksum. Importing this imports no torch."""

from __future__ import annotations

import threading
import zlib
from typing import TYPE_CHECKING

from sage_infer_contracts.errors import CapacityExceeded
from sage_infer_contracts.runtime import DeviceRuntime
from sage_infer_contracts.store import BlockOutcome
from sage_infer_contracts.tiers.transfers import Copy, Crew, Late
from sage_infer_contracts.tiers.volatile import Block, VolatileTier, require_capacity

from .hbm_device import CHUNK_BYTES, DeviceMemory, Lane, find_runtime

if TYPE_CHECKING:
    import torch

_HOST = "cpu"


class HbmTier(VolatileTier["torch.Tensor"]):
    """Blocks on device ``device_index`` of the runtime that is published as ``device``, or of ``runtime``.

    Regions may be host memory, which is staged through pinned memory, or memory of this very device, whose contents
    must be complete when they are submitted. ``checksum`` guards blocks from put to get. It is computed on the host,
    so for regions on the device it costs a trip there and back for each block: off, these never leave the device,
    and bit errors are left to the memory's ECC. A copy on the device cannot be abandoned half way, so a poll past the
    deadline of one waits for the piece under way; with regions in host memory it never waits for the device.

    Raises ``DeviceUnavailable`` without the device, ``CapacityExceeded`` for more than it has.
    """

    def __init__(
        self,
        *,
        capacity_bytes: int,
        device: str = _HOST,
        device_index: int = 0,
        checksum: bool = True,
        workers: int = 2,
        max_pending: int = 65_536,
        runtime: DeviceRuntime | None = None,
    ) -> None:
        require_capacity(capacity_bytes)
        self._memory = DeviceMemory(runtime if runtime is not None else find_runtime(device), device_index)
        self._memory.prepare()
        if capacity_bytes > self._memory.total_bytes:
            raise CapacityExceeded(
                f"{self._memory.label} has {self._memory.total_bytes} bytes; a tier of {capacity_bytes} was asked for"
            )
        # Nothing is done by the thread that submits: it would wait for the device.
        crew = Crew("hbm", workers=workers, max_pending=max_pending, devices={_HOST, self._memory.label})
        super().__init__("hbm", crew, capacity_bytes=capacity_bytes)
        self._checksum = checksum
        self._lanes = threading.local()

    def close(self) -> None:
        """Forget every block and give the memory back, unless a thread is stuck in the device."""
        if not self._crew.close():
            return
        self._forget()
        if self._crew.ended:
            self._memory.release()

    def _put(self, copy: Copy) -> None:
        block = self._begin_put(copy)
        if block is None:
            return
        stored, clean = False, False
        try:
            lane = self._lane()
            try:
                data = self._take_spare(block.nbytes)
                data = block.memory = lane.allocate(block.nbytes) if data is None else data
                block.checksum = self._write(copy, data, lane)
            finally:
                clean = lane.settle()
            stored = copy.end(BlockOutcome("stored"), lambda: self._show(copy.name, block))
        finally:
            self._end_put(copy.name, block, stored=stored, clean=clean)

    def _get(self, copy: Copy) -> None:
        block = self._begin_get(copy)
        if block is None:
            return
        clean = True
        try:
            lane = self._lane()
            try:
                outcome = self._read(copy, block, lane)
            finally:
                clean = lane.settle()
            copy.end(outcome)
        finally:
            self._end_get(block, clean=clean)

    def _write(self, copy: Copy, data: torch.Tensor, lane: Lane) -> int:
        """Store the region and return its checksum, or 0."""
        region = copy.region
        if region.device == _HOST:
            return _Passing(copy, checksum=self._checksum, into_region=False).run(lane, data)
        source = self._memory.at(region.address, region.nbytes)
        self._across(copy, lane, data, source)
        return self._sum(lane, data) if self._checksum else 0

    def _read(self, copy: Copy, block: Block[torch.Tensor], lane: Lane) -> BlockOutcome:
        region, data = copy.region, block.memory
        if block.nbytes != region.nbytes or data is None:
            return BlockOutcome("missing", f"the block has {block.nbytes} bytes, the region {region.nbytes}")
        try:
            if region.device == _HOST:
                checksum = _Passing(copy, checksum=self._checksum, into_region=True).run(lane, data)
            else:
                checksum = self._sum(lane, data) if self._checksum else 0
                self._across(copy, lane, self._memory.at(region.address, region.nbytes), data)
        except Late:
            raise
        except Exception as error:  # noqa: BLE001 - whatever the device raises, this block cannot be had back
            return self._lose(
                copy.name, block, "missing", f"the device failed: {type(error).__name__}: {error}"
            )
        if checksum == block.checksum:
            return BlockOutcome("hit")
        return self._lose(copy.name, block, "corrupt", "the checksum is wrong")

    def _across(self, copy: Copy, lane: Lane, destination: torch.Tensor, source: torch.Tensor) -> None:
        for start in range(0, destination.numel(), CHUNK_BYTES):
            piece = slice(start, start + CHUNK_BYTES)
            copy.touch(lambda piece=piece: lane.across(destination[piece], source[piece]))  # type: ignore[misc]

    def _sum(self, lane: Lane, data: torch.Tensor) -> int:
        checksum = 0

        def take(_: int, piece: torch.Tensor) -> None:
            nonlocal checksum
            checksum = zlib.crc32(piece.numpy(), checksum)

        lane.download(data, take)
        return checksum

    def _lane(self) -> Lane:
        """Return this thread's lane; raises what making streams and pinning memory raise."""
        lane: Lane | None = getattr(self._lanes, "lane", None)
        if lane is None:
            lane = self._lanes.lane = self._memory.lane()
        return lane


class _Passing:
    """The pieces of one block between a lane's staging memory and a region of the host, with their checksum."""

    def __init__(self, copy: Copy, *, checksum: bool, into_region: bool) -> None:
        self._copy = copy
        self._wanted = checksum
        self._into_region = into_region
        self._checksum = 0

    def run(self, lane: Lane, data: torch.Tensor) -> int:
        """Carry the whole block and return the checksum of what passed, or 0."""
        (lane.download if self._into_region else lane.upload)(data, self._pass)
        return self._checksum

    def _pass(self, offset: int, piece: torch.Tensor) -> None:
        self._copy.move(offset, piece.data_ptr(), piece.numel(), into_region=self._into_region)
        if self._wanted:
            self._checksum = zlib.crc32(piece.numpy(), self._checksum)
