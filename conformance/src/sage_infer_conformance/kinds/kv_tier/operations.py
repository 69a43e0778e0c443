"""One put or get of a tier, from submit to outcome, as a caller does it who polls until the deadline."""

from __future__ import annotations

import time
from collections.abc import Sequence

import attrs

from sage_infer_contracts.content import ContentKey
from sage_infer_contracts.store import BlockOutcome, KVStoreTier

from .contents import Library
from .regions import Regions
from .steps import Get, Put, Seen

PATIENCE_S = 4.0
"""How long after its deadline an operation is still waited for."""
_BRIEF_S = 0.3
_ENOUGH = 3
_POLL_S = (0.0, 0.0002, 0.001, 0.004)


@attrs.define(slots=True)
class Patience:
    """How long to wait. A tier that let some operations run for ever has shown it; the rest is to be short."""

    unended: int = 0

    def limit_s(self, deadline_s: float) -> float:
        """Return for how long an operation is waited for."""
        return deadline_s + PATIENCE_S if self.unended < _ENOUGH else min(deadline_s, _BRIEF_S) + _BRIEF_S


_PATIENCE = Patience()


@attrs.frozen(slots=True)
class Ended:
    """What came of an operation; ``outcomes`` is None when none came."""

    outcomes: list[BlockOutcome] | None
    seconds: float


def carry_out(
    tier: KVStoreTier,
    op: str,
    namespace: str,
    keys: Sequence[ContentKey],
    regions: Regions,
    deadline_s: float,
) -> Ended:
    """Submit and poll until the outcomes come, or until nobody would wait any longer."""
    submit = tier.submit_put if op == "put" else tier.submit_get
    began = time.perf_counter()
    handle = submit(namespace, keys, regions.regions, deadline_s=deadline_s)
    polls = 0
    while True:
        outcomes = tier.poll(handle)
        seconds = time.perf_counter() - began
        if outcomes is not None:
            return Ended(list(outcomes), seconds)
        if seconds > _PATIENCE.limit_s(deadline_s):
            _PATIENCE.unended += 1
            return Ended(None, seconds)
        time.sleep(_POLL_S[min(polls // 8, len(_POLL_S) - 1)])
        polls += 1


def put_blocks(tier: KVStoreTier, library: Library, command: Put) -> tuple[Ended, Regions]:
    """Put blocks. Once it ended, the memory is used for something else, as callers do."""
    where = command.namespace
    contents = [library.content(where, key, command.version, command.nbytes) for key in command.keys]
    regions = Regions.holding(contents)
    keys = [library.key(key) for key in command.keys]
    ended = carry_out(tier, "put", where, keys, regions, command.deadline_s)
    if ended.outcomes is not None:
        regions.fill()
    return ended, regions


def get_blocks(tier: KVStoreTier, library: Library, command: Get) -> tuple[Ended, Regions]:
    """Get blocks."""
    regions = Regions(len(command.keys), command.nbytes)
    keys = [library.key(key) for key in command.keys]
    return carry_out(tier, "get", command.namespace, keys, regions, command.deadline_s), regions


def describe(library: Library, command: Put | Get, ended: Ended, regions: Regions) -> tuple[Seen, ...] | None:
    """Return what became of each block, or None when nobody said."""
    if ended.outcomes is None:
        return None
    reads = isinstance(command, Get)
    held = [regions.read(number) if reads else None for number in range(len(command.keys))]
    held += [None] * (len(ended.outcomes) - len(held))
    keys = [*command.keys, *["?"] * (len(ended.outcomes) - len(command.keys))]
    triples = zip(keys, ended.outcomes, held, strict=False)
    return tuple(library.seen(command.namespace, key, outcome, data) for key, outcome, data in triples)
