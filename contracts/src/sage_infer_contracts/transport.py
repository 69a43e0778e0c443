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
    """State of a transfer; one that has ended keeps it.

    ``done``: every byte arrived (TE-01). ``cancelled``: it did not, and nothing more of it is written. ``failed``: it
    did not, or that is not known; what is under way may still be written until its lease ends at the receiver.
    """

    state: Literal["pending", "done", "failed", "cancelled"]
    reason: str | None = None
    bytes_moved: NonNegativeInt = Field(default=0, description="sent so far; all bytes of the plan once done")


class TransportEngine(Protocol):
    """Submit and poll, thread-safe, no event loop needed.

    A factory found under ``sage_infer.transport.v1`` is called with keyword arguments: ``max_inflight_bytes``;
    ``credential``, the secret that both ends of a link share; ``listen``, where this end waits for peers, in the
    engine's own scheme (None: its choice); and options of its own. An engine that declares ``transport.remote``
    reaches ends in other processes and refuses to be made without a credential; one that does not moves bytes within
    its process, needs no credential and refuses ``listen`` with ``Unsupported``.

    How two ends meet: the receiver registers memory, grants a lease on it and tells the sender, by whatever way the two
    talk, its :attr:`address`, the lease with its generation, and the regions. The sender names them in a plan. Once a
    transfer is ``done`` the sender tells the receiver, by the same way.
    """

    @property
    def capabilities(self) -> frozenset[str]:
        """Names from :class:`Capability`."""
        ...

    @property
    def address(self) -> str:
        """Where this end is reached: what a plan names as its destination. An engine reaches its own address too."""
        ...

    def register_memory(self, region: MemoryRegion) -> str:
        """Make ``region`` usable for transfers; returns its handle. The caller keeps the memory alive."""
        ...

    def deregister_memory(self, handle: str) -> None:
        """Undo :meth:`register_memory`; refused with ``InvalidRequest`` while a transfer or a lease uses it (TE-08)."""
        ...

    def grant_lease(
        self, lease: str, generation: int, regions: Sequence[MemoryRegion], duration_s: float
    ) -> None:
        """Let one transfer, from any peer with the credential, write into ``regions`` of registered memory.

        The lease ends when its transfer ends, when ``duration_s`` has passed by this end's clock, when it is revoked,
        when a newer generation of it is granted, or when the engine is closed. TE-02: after that nothing MUST be
        written under it. A generation not above those granted before under this name is refused with
        ``InvalidRequest``, and so are regions outside registered memory.
        """
        ...

    def revoke_lease(self, lease: str) -> None:
        """End a lease; one that ended or never was is none to end. TE-02: on return its regions MUST be left alone."""
        ...

    def submit(self, plan: TransportPlan) -> str:
        """Start a transfer and return its handle without waiting.

        What is wrong with a plan is told here or by the state ``failed``; where it names memory that is not registered
        or a ``transfer_id`` that this engine has taken before, by ``InvalidRequest`` here. Another end than this one is
        refused with ``Unsupported`` unless ``transport.remote`` is declared. The source must not change until the end.

        TE-02: the lease and generation MUST guard the transfer; a late, repeated or stale write is refused.
        TE-04: back-pressure MUST be bounded: where the bytes of transfers that have not ended and of this one pass
        ``max_inflight_bytes``, ``CapacityExceeded``; what has ended no longer counts.
        TE-05: a peer without the right credential MUST be refused, as sender and as receiver.
        TE-07: a plan within its limits, lease and deadline, between two live ends, MUST be carried out.
        TE-08: only registered memory MUST be read or written, and of it only what plan and lease name.
        """
        ...

    def poll(self, handles: Sequence[str]) -> list[TransferStatus]:
        """Return the state of each handle now, in the order given; ``InvalidRequest`` for one that is unknown.

        TE-01: bytes MUST arrive identical and in full, or the handle fails; no partial success.
        TE-03: peer death, cancel and timeout MUST end every handle by its deadline and free both sides.
        TE-06: concurrent transfers MUST NOT mix.
        """
        ...

    def wait(self, handle: str, timeout_s: float) -> TransferStatus:
        """Block until the transfer ends or ``timeout_s`` passed; raises ``DeadlineExceeded`` then (TE-03)."""
        ...

    def cancel(self, handle: str) -> None:
        """Ask a transfer to end, without waiting for it; idempotent, and nothing happens to one that ended (TE-03)."""
        ...

    def link_profile(self, peer: str) -> LinkProfile:
        """Return bandwidth and latency to ``peer`` as measured by this engine; null where not yet measured."""
        ...

    def close(self) -> None:
        """End all transfers and leases, and free everything; idempotent. Whoever waits is told (TE-03)."""
        ...
