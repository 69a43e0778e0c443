"""Which GPUs on the bus a container was given: the others are there, and neither lost nor its own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from sage_infer_contracts.detecting.ladder import Ladder

from .merging import Found

GIVEN = "NVIDIA_VISIBLE_DEVICES"
NODES = "/dev"
_MIG = re.compile(r"MIG-.+|[0-9]+:[0-9]+", re.ASCII)
_NO_LIST = ("", "all", "none", "void")
"""Values that name no GPU; ``void`` where a container gets its GPUs by CDI, which the device nodes show."""


def withheld(ladder: Ladder, found: Found, minors: Mapping[str, int]) -> set[str]:
    """Return the addresses of cards that no source showed because they belong to others.

    ``minors`` are the numbers of ``/dev/nvidiaN`` by address, as the driver tells them of all cards of the machine.
    """
    missing = set(found.missing)
    if not missing or not found.gpus:
        return set()
    if _as_listed(ladder.variable(GIVEN) or "", found):
        source, others = GIVEN, missing
    else:
        nodes = set(ladder.folder(NODES))
        source, others = NODES, set(_without_node(missing, nodes, minors))
    if others:
        ladder.note(source, "used", f"{len(others)} cards were not given to this container")
    return others


def _as_listed(value: str, found: Found) -> bool:
    """Say whether as many GPUs and MIG devices are shown as the variable lists."""
    if value.strip() in _NO_LIST:
        return False
    words = [word.strip() for word in value.split(",") if word.strip()]
    slices = sum(1 for word in words if _MIG.fullmatch(word))
    whole = sum(1 for gpu in found.gpus if not found.slices_of(gpu)) if slices else len(found.gpus)
    return len(words) - slices == whole and (not slices or slices == len(found.slices))


def _without_node(missing: Iterable[str], nodes: set[str], minors: Mapping[str, int]) -> Iterable[str]:
    if not any(re.fullmatch(r"nvidia[0-9]+", node) for node in nodes):
        return ()
    return (bdf for bdf in missing if bdf in minors and f"nvidia{minors[bdf]}" not in nodes)
