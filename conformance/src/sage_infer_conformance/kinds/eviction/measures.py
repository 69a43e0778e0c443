"""What is measured of a policy: the time an event takes and the memory its state needs."""

from __future__ import annotations

import gc
import itertools
import time
import tracemalloc
from collections.abc import Callable, Iterator

from sage_infer_contracts.content import ContentKey
from sage_infer_contracts.eviction import BlockInfo, EvictionPolicy

from .steps import Cost

Make = Callable[[int], EvictionPolicy]
_CHAIN = 8
_REPEATS = 5


def _keys() -> Iterator[ContentKey]:
    return (ContentKey(number.to_bytes(32, "big")) for number in itertools.count(1))


def _fill(policy: EvictionPolicy, count: int, keys: Iterator[ContentKey], shape: str) -> list[BlockInfo]:
    """Admit ``count`` blocks and return them in order: flat, in chains, or all parents before their children."""
    blocks: list[BlockInfo] = []
    for number in range(count):
        above: BlockInfo | None = None
        if shape == "chains" and number % _CHAIN:
            above = blocks[-1]
        elif shape == "parents" and number >= count // 2:
            above = blocks[number - count // 2]
        block = _block(next(keys), above)
        policy.admit(block)
        blocks.append(block)
    return blocks


def _block(key: ContentKey, above: BlockInfo | None = None) -> BlockInfo:
    if above is None:
        return BlockInfo(key=key, size_bytes=4096, depth=0, tokens=16)
    return BlockInfo(key=key, size_bytes=4096, depth=above.depth + 1, parent=above.key, tokens=16)


def _timed(work: Callable[[], None]) -> float:
    began = time.thread_time()
    work()
    return time.thread_time() - began


def _turnover(policy: EvictionPolicy, keys: Iterator[ContentKey], events: int) -> Callable[[], None]:
    """Victim out, fresh block in: what a full tier does all day."""

    def work() -> None:
        for _ in range(events):
            for key in policy.victims(1) or ():
                policy.discard(key)
                policy.admit(_block(next(keys)))

    return work


def _uses(policy: EvictionPolicy, names: list[ContentKey]) -> dict[str, Callable[[], None]]:
    def touches() -> None:
        for key in names:
            policy.touch(key)

    def pins() -> None:
        for key in names:
            policy.pin(key)
        for key in names:
            policy.unpin(key)

    def questions() -> None:
        for _ in names:
            policy.victims(1)

    return {"touch": touches, "pin and unpin": pins, "victims(1)": questions}


def _costs_at(make: Make, capacity: int, shape: str, events: int) -> dict[str, float]:
    """Return microseconds per event, the best of several rounds, at ``capacity`` blocks."""
    policy, keys = make(capacity), _keys()
    blocks = _fill(policy, capacity, keys, shape)
    if shape == "pinned":
        pinned = capacity * 3 // 4
        for block in blocks[:pinned]:
            policy.pin(block.key)
        blocks = blocks[pinned:]
    names = [blocks[number * len(blocks) // events].key for number in range(events)]
    works = {**_uses(policy, names), "victims(1), discard and admit": _turnover(policy, keys, events)}
    # The turnover removes blocks that the others name, so it comes last.
    return {name: min(_timed(work) for _ in range(_REPEATS)) / events * 1e6 for name, work in works.items()}


def event_costs(make: Make, capacities: tuple[int, int], shape: str, events: int) -> tuple[Cost, ...]:
    """Time ``events`` events of each sort on policies of both capacities, filled first, by this thread's CPU time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        small, large = (_costs_at(make, capacity, shape, events) for capacity in capacities)
    finally:
        if collecting:
            gc.enable()
    return tuple(Cost(event=name, small_us=small[name], large_us=large[name]) for name in small)


def state_bytes(make: Make, work: str, capacity: int, rounds: int) -> tuple[int, ...]:
    """Return the bytes allocated since the policy was made, after each round."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        policy, keys = make(capacity), _keys()
        blocks = _fill(policy, capacity, keys, "chains")
        one_round = _ROUNDS[work]
        sizes: list[int] = []
        for _ in range(rounds):
            one_round(policy, blocks, keys)
            gc.collect()
            sizes.append(tracemalloc.get_traced_memory()[0] - before)
        return tuple(sizes)
    finally:
        tracemalloc.stop()


def _churn(policy: EvictionPolicy, blocks: list[BlockInfo], keys: Iterator[ContentKey]) -> None:
    """Replace every block four times, by chains; what is new is used, what was never there is named."""
    last: BlockInfo | None = None
    for _ in range(4 * len(blocks)):
        for victim in policy.victims(1) or ():
            policy.pin(victim)
            policy.unpin(victim)
            policy.discard(victim)
            policy.touch(victim)
            keeps = last is not None and last.key != victim and last.depth < _CHAIN
            last = _block(next(keys), last if keeps else None)
            policy.admit(last)
            policy.touch(last.key)
        policy.touch(next(keys))


def _use(policy: EvictionPolicy, blocks: list[BlockInfo], __: Iterator[ContentKey]) -> None:
    """Use what is there, and ask for nothing."""
    for _ in range(4):
        for block in blocks:
            policy.touch(block.key)
            policy.pin(block.key)
            policy.touch(block.key)
            policy.unpin(block.key)


def _ask(policy: EvictionPolicy, blocks: list[BlockInfo], __: Iterator[ContentKey]) -> None:
    """Ask for one more than there is, and for one."""
    for _ in blocks:
        policy.victims(len(blocks) + 1)
        policy.victims(1)


_ROUNDS = {"churn": _churn, "uses": _use, "questions": _ask}
