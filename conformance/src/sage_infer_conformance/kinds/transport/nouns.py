"""What a history of transports is about: ends, memories, leases and transfers."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from .contents import Canvas
from .steps import Order, Slice

REMOTE = "transport.remote"
AMPLE_S = 10.0
"""A deadline or a lease of at least this much is never why a healthy transfer fails."""
SKEW_S = 0.1


@attrs.define(slots=True)
class End:
    """One engine."""

    place: str
    credential: str
    max_inflight_bytes: int
    remote: bool
    alive: bool = True
    stopped: bool = False
    closed: bool = False


@attrs.define(slots=True)
class Memory:
    """Memory at one end."""

    end: str
    nbytes: int
    registered: bool
    canvas: Canvas
    was_target: bool = False


@attrs.define(slots=True)
class Lease:
    """The newest grant under one name at one end."""

    generation: int
    slices: tuple[Slice, ...]
    ends_at_s: float
    ended: bool = False
    revoked: bool = False
    """Whether its end was asked for, rather than being that of its transfer."""
    taken_by: list[str] = attrs.field(factory=list)

    def covers(self, part: Slice) -> bool:
        """Say whether ``part`` lies in what was granted."""
        return any(
            one.memory == part.memory
            and one.offset <= part.offset
            and part.offset + part.nbytes <= one.offset + one.nbytes
            for one in self.slices
        )


@attrs.define(slots=True)
class Transfer:
    """One submission. ``refusal``: the clause by which it must be refused and why.

    ``promised``: nothing stood in the way when it was submitted. ``touched``: something happened to it since;
    ``disturbed``: that was before its end was known. So a transfer ``is_certain`` to be done in every run, and
    what is counted is counted on those, or the same seed would give other counts.
    """

    order: Order
    end: str
    submitted_at_s: float
    refusal: tuple[str, str] | None
    promised: bool
    company: frozenset[str] = frozenset()
    disturbed: bool = False
    touched: bool = False
    settled: bool = False
    """Whether its end was waited for."""
    state: str = "pending"
    lost_source: bool = False
    overwritten: bool = False
    """Whether the owner used the target for something else before the end was known."""

    @property
    def ended(self) -> bool:
        """Whether its end is known."""
        return self.state != "pending"

    @property
    def must_be_done(self) -> bool:
        """Whether any other end is a violation."""
        return self.promised and not self.disturbed

    @property
    def is_certain(self) -> bool:
        """Whether it must be done, however races end."""
        return self.promised and not self.touched


def pieces(order: Order) -> Iterator[tuple[Slice, Slice]]:
    """Yield (target, source) slices of equal size that cover the transfer in order."""
    sources, targets = list(order.source), list(order.target)
    while sources and targets:
        source, target = sources.pop(0), targets.pop(0)
        nbytes = min(source.nbytes, target.nbytes)
        yield target.model_copy(update={"nbytes": nbytes}), source.model_copy(update={"nbytes": nbytes})
        for left, part in ((sources, source), (targets, target)):
            if nbytes < part.nbytes:
                rest = {"offset": part.offset + nbytes, "nbytes": part.nbytes - nbytes}
                left.insert(0, part.model_copy(update=rest))
