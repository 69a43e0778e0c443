"""EvictionPolicy: decides which blocks leave. Owned by one thread, does no I/O, has no clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import attrs

from .content import ContentKey


@attrs.frozen(slots=True)
class BlockInfo:
    """What a policy is told of a block when it is admitted. Unknown hints are None."""

    key: ContentKey
    size_bytes: int
    depth: int
    parent: ContentKey | None = None
    tokens: int = 0
    tenant: str = ""
    priority: int = 0
    deadline_slack_ms: float | None = None
    recompute_cost_ms: float | None = None
    hint: str | None = None


class EvictionPolicy(Protocol):
    """Found under ``sage_infer.eviction.v1``; the factory is called as ``factory(capacity_blocks, **options)``.

    Time is the order of events. EV-04: the same events MUST give the same answers. EV-05: the cost of an event
    MUST NOT grow with the resident set (amortised O(log n) at worst). EV-06: state MUST be bounded by capacity.
    """

    def admit(self, block: BlockInfo) -> None:
        """Take note of a block that became resident (EV-04, EV-05, EV-06)."""
        ...

    def touch(self, key: ContentKey) -> None:
        """Take note of a use; unknown keys are ignored."""
        ...

    def pin(self, key: ContentKey) -> None:
        """Exclude a block from :meth:`victims`; pins count."""
        ...

    def unpin(self, key: ContentKey) -> None:
        """Undo one :meth:`pin`."""
        ...

    def discard(self, key: ContentKey) -> None:
        """Forget a block that left. EV-07: nothing of it MUST remain."""
        ...

    def victims(self, count: int) -> Sequence[ContentKey] | None:
        """Propose exactly ``count`` blocks to evict, or None; nothing changes until :meth:`discard`.

        EV-01: victims MUST be resident and unpinned. EV-02: exactly ``count``, or None without a state change, and
        None only while fewer than ``count`` may leave.
        EV-03: MUST be prefix-closed: never a block whose resident child stays.
        """
        ...
