"""KVStoreTier: one tier of the KV hierarchy (HBM, DRAM, SSD, remote)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import attrs

from .content import ContentKey
from .devices import MemoryTierSpec
from .memory import MemoryRegion

PutOutcome = Literal["stored", "present", "rejected"]
GetOutcome = Literal["hit", "missing", "corrupt"]


@attrs.frozen(slots=True)
class BlockOutcome:
    """What happened to one block of a batch; ``reason`` is given for rejected and corrupt."""

    outcome: PutOutcome | GetOutcome
    reason: str | None = None


@attrs.frozen(slots=True)
class TierUsage:
    """What a tier holds now. KV-06: equals the sum of what is stored."""

    blocks: int
    bytes: int
    capacity_bytes: int


class KVStoreTier(Protocol):
    """Batches of equal-sized blocks in caller-owned memory, under a namespace. Thread-safe submit and poll.

    A tier never evicts by itself: when full it rejects. Core owns the index and the policy.
    A factory found under ``sage_infer.kv_tier.v1`` is called with its options as keyword arguments: ``capacity_bytes``,
    and ``path``, a folder of its own, where the tier is persistent. KV-10: a persistent tier made again at its path
    MUST hold what was reported stored, with its usage, also after its process was killed. KV-09: a region belongs to an
    operation from submit until :meth:`poll` has returned the outcomes; nothing outside it, and nothing afterwards, MUST
    be touched, not even when the device answers late.
    """

    @property
    def capabilities(self) -> frozenset[str]:
        """Names from :class:`Capability`."""
        ...

    def spec(self) -> MemoryTierSpec:
        """Describe the tier, with measured bandwidth where it was measured."""
        ...

    def submit_put(
        self, namespace: str, keys: Sequence[ContentKey], blocks: Sequence[MemoryRegion], *, deadline_s: float
    ) -> int:
        """Start storing ``blocks``; returns a handle for :meth:`poll`.

        KV-02: a block MUST be visible wholly or not at all, also after a crash and a restart.
        KV-03: capacity MUST never be exceeded; a full tier rejects and loses nothing that was stored.
        KV-04: readers and writers MUST never see torn data; put of a present key is a no-op.
        A block that is "rejected" is not stored, now or later.
        """
        ...

    def submit_get(
        self, namespace: str, keys: Sequence[ContentKey], into: Sequence[MemoryRegion], *, deadline_s: float
    ) -> int:
        """Start reading blocks into ``into``; returns a handle for :meth:`poll`.

        KV-01: bytes MUST be identical to what was put, or the outcome is not "hit".
        KV-08: keys of one namespace MUST be invisible in another.
        A "corrupt" block is dropped. What the region holds after any outcome but "hit" is undefined.
        """
        ...

    def poll(self, handle: int) -> list[BlockOutcome] | None:
        """Return one outcome per block, or None while it runs.

        KV-05: every operation MUST end by its deadline, with the device slow, full, read-only or gone.
        Poll until then; what is not done by the deadline is "rejected" or "missing", with a reason. The outcomes are
        given once.
        """
        ...

    def contains(self, namespace: str, keys: Sequence[ContentKey]) -> list[bool]:
        """Say which blocks are visible (KV-02, KV-08)."""
        ...

    def remove(self, namespace: str, keys: Sequence[ContentKey]) -> int:
        """Drop blocks and return how many were there. KV-06: removing MUST free their bytes."""
        ...

    def take_lost(self) -> list[tuple[str, ContentKey, str]]:
        """Return, once each, blocks that were lost: namespace, key, reason.

        KV-07: a block lost for any reason MUST be reported here.
        """
        ...

    def usage(self) -> TierUsage:
        """Return what is held now (KV-06)."""
        ...

    def close(self) -> None:
        """Stop; idempotent.

        KV-06: a closed tier MUST refuse: its methods raise, or answer "rejected" with the reason.
        """
        ...
