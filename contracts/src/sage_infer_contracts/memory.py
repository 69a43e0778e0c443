"""Caller-owned memory that tiers and transports read and write."""

from __future__ import annotations

from pydantic import NonNegativeInt, PositiveInt

from .wire import FrozenModel


class MemoryRegion(FrozenModel):
    """``nbytes`` at ``address`` on ``device`` (``cpu``, ``cuda:0``). Its owner keeps it alive while in use."""

    device: str
    address: NonNegativeInt
    nbytes: PositiveInt

    def slice(self, offset: int, nbytes: int) -> MemoryRegion:
        """Return part of the region; raises ValueError when it reaches outside."""
        if offset < 0 or nbytes <= 0 or offset + nbytes > self.nbytes:
            raise ValueError(
                f"slice [{offset}, {offset + nbytes}) is outside a region of {self.nbytes} bytes"
            )
        return MemoryRegion(device=self.device, address=self.address + offset, nbytes=nbytes)
