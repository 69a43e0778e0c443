"""How much memory and disk a tier takes, filled and emptied again and again."""

from __future__ import annotations

import gc
import os

import psutil

from sage_infer_contracts.content import ContentKey
from sage_infer_contracts.store import KVStoreTier

from .contents import key_of
from .operations import carry_out
from .regions import Regions
from .steps import Extent, Footprint

_BATCH = 8
_DEADLINE_S = 10.0


def measure(tier: KVStoreTier, command: Footprint, home: str | None) -> Extent:
    """Fill and empty the tier ``rounds`` times with blocks it never saw, and read the figures after each."""
    before = _memory_bytes()
    regions = Regions(_BATCH, command.nbytes)
    stored: list[int] = []
    full: list[int] = []
    disk: list[int] = []
    memory: list[int] = []
    for number in range(command.rounds):
        keys = [key_of(f"round {number} block {block}") for block in range(command.blocks)]
        stored.append(_fill(tier, keys, regions))
        full.append(_disk_bytes(home))
        tier.remove("extent", keys)
        disk.append(_disk_bytes(home))
        memory.append(_memory_bytes() - before)
    return Extent(
        stored=tuple(stored), full_bytes=tuple(full), disk_bytes=tuple(disk), memory_bytes=tuple(memory)
    )


def _fill(tier: KVStoreTier, keys: list[ContentKey], regions: Regions) -> int:
    stored = 0
    for start in range(0, len(keys), _BATCH):
        batch = keys[start : start + _BATCH]
        ended = carry_out(tier, "put", "extent", batch, regions, _DEADLINE_S)
        stored += sum(one.outcome == "stored" for one in ended.outcomes or ())
    return stored


def _memory_bytes() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)


def _disk_bytes(home: str | None) -> int:
    if home is None:
        return 0
    found = (os.path.join(folder, name) for folder, _, names in os.walk(home) for name in names)
    return sum(os.lstat(path).st_blocks * 512 for path in found)
