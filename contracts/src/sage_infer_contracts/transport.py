"""TransportEngine: moves KV between memory regions of two processes or machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from .devices import LinkProfile
from .memory import MemoryRegion
from .wire import FrozenModel, WireModel


class KVChunk(WireModel):
    """A run of KV bytes to move, and what they are."""

    request_id: str
    layer_start: NonNegativeInt
    layer_end: PositiveInt = Field(description="exclusive")
    block_ids: tuple[NonNegativeInt, ...]
    schema_fingerprint: str
    nbytes: PositiveInt
    checksum: str | None = None

    @model_validator(mode="after")
    def _layers_ordered(self) -> Self:
        if self.layer_end <= self.layer_start:
            raise ValueError("layer_end must be above layer_start")
        return self


class TransportPlan(WireModel):
    """One transfer: which chunks, from where to where, under which lease and until when."""

    transfer_id: str
    chunks: tuple[KVChunk, ...] = Field(min_length=1)
    source: tuple[MemoryRegion, ...] = Field(min_length=1)
    destination: str = Field(description="address of the peer, in the engine's own scheme")
    destination_regions: tuple[MemoryRegion, ...] = Field(min_length=1)
    lease: str
    generation: NonNegativeInt
    deadline_s: PositiveFloat = Field(description="seconds from submission")

    @model_validator(mode="after")
    def _sizes_agree(self) -> Self:
        total = sum(chunk.nbytes for chunk in self.chunks)
        for name, regions in (("source", self.source), ("destination", self.destination_regions)):
            if sum(region.nbytes for region in regions) != total:
                raise ValueError(f"{name} regions do not hold exactly the {total} bytes of the chunks")
        return self


class TransportPreset(FrozenModel):
    """A named choice of engine and its limits, for the configuration file."""

    engine: str = Field(description="name under sage_infer.transport.v1")
    max_inflight_bytes: PositiveInt = 256 * 1024 * 1024
    deadline_s: PositiveFloat = 30.0
    checksum: bool = True


class TransferStatus(FrozenModel):
    """State of a transfer. ``done`` means every byte arrived (TE-01)."""

    state: Literal["pending", "done", "failed", "cancelled"]
    reason: str | None = None
    bytes_moved: NonNegativeInt = 0


class TransportEngine(Protocol):
    """Submit and poll, thread-safe, no event loop needed.

    A factory found under ``sage_infer.transport.v1`` is called with its options as keyword arguments.
    """

    @property
    def capabilities(self) -> frozenset[str]:
        """Names from :class:`Capability`."""
        ...

    def register_memory(self, region: MemoryRegion) -> str:
        """Make ``region`` usable for transfers; returns its handle. The caller keeps the memory alive."""
        ...

    def deregister_memory(self, handle: str) -> None:
        """Undo :meth:`register_memory`; refused with ``InvalidRequest`` while a transfer uses it."""
        ...

    def submit(self, plan: TransportPlan) -> str:
        """Start a transfer and return its handle without waiting.

        TE-02: the lease and generation MUST guard the transfer; a late, repeated or stale write is refused.
        TE-04: back-pressure MUST be bounded: past the in-flight limit, ``CapacityExceeded``.
        TE-05: a peer without the right credential MUST be refused.
        """
        ...

    def poll(self, handles: Sequence[str]) -> list[TransferStatus]:
        """Return the state of each handle now.

        TE-01: bytes MUST arrive identical and in full, or the handle fails; no partial success.
        TE-03: peer death, cancel and timeout MUST end every handle by its deadline and free both sides.
        TE-06: concurrent transfers MUST NOT mix.
        """
        ...

    def wait(self, handle: str, timeout_s: float) -> TransferStatus:
        """Block until the transfer ends or ``timeout_s`` passed; raises ``DeadlineExceeded`` then (TE-03)."""
        ...

    def cancel(self, handle: str) -> None:
        """End a transfer; idempotent (TE-03)."""
        ...

    def link_profile(self, peer: str) -> LinkProfile:
        """Return bandwidth and latency to ``peer`` as measured by this engine; null where not yet measured."""
        ...

    def close(self) -> None:
        """End all transfers and free everything; idempotent."""
        ...
