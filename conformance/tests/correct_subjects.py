"""Every correct subject of the repository, by kind: references, unusual ones, and what ships without an engine."""

from __future__ import annotations

from pathlib import Path

from sage_infer_contracts.testing import SubjectKind

_HERE = Path(__file__).parent
_KINDS = "sage_infer_conformance.kinds"

REFERENCES: dict[SubjectKind, tuple[str, ...]] = {
    "eviction": (f"{_KINDS}.eviction.reference:ReferencePolicy",),
    "kv_tier": (f"{_KINDS}.kv_tier.reference:MemoryTier", f"{_KINDS}.kv_tier.folder_reference:FolderTier"),
    "transport": (f"{_KINDS}.transport.reference:ReferenceTransport",),
    "detector": (f"{_KINDS}.detector.reference_machines:SUBJECT",),
    "backend": (f"{_KINDS}.backend.reference.subject:subject",),
    "embedding": (
        f"{_KINDS}.embedding.reference:ReferenceEmbedding",
        f"{_KINDS}.embedding.reference:RefusingEmbedding",
    ),
    "hybrid": (f"{_KINDS}.hybrid.reference:ReferenceHybrid",),
}
_UNUSUAL: dict[SubjectKind, tuple[str, ...]] = {
    "eviction": ("RandomEviction", "FifoEviction", "MostRecentlyUsed", "HintedEviction", "GhostEviction"),
    "kv_tier": ("RejectsHalf", "AllOrNothing", "WorksInPoll", "MissingNotCorrupt", "LogTier"),
    "transport": ("OneAtATime", "Staging", "OpaqueHandles", "NeverCancelled", "CopiesAtOnce"),
    "detector": (
        *("PARTIAL", "HIDDEN", "HALF_ROWS", "THREADS", "CO_PROCESSORS", "NOTHING_TOLD"),
        *("PCI", "SYSFS", "DIES", "ROWS", "LIBRARY", "PROCESSOR"),
    ),
    "backend": (
        *("one_token_blocks", "bare", "noisy", "noisy_and_mute", "pairing"),
        *("tardy", "masks_eos", "newest_first", "choosy", "copies_out"),
    ),
    "embedding": ("Characters", "Bytes", "OneAtATime", "Rounded", "FinishesFirst", "Hashing"),
    "hybrid": (
        *("RefusesWhileBusy", "QueuesDuringUnloads", "LoadsInTheBackground"),
        *("MakesRoom", "KeepsAPool", "NoNumbersAtRest"),
    ),
}


def unusual(kind: SubjectKind, name: str) -> str:
    """Return the full name of an unusual subject."""
    return f"{_HERE / f'unusual_{kind}.py'}:{name}"


UNUSUAL: dict[SubjectKind, tuple[str, ...]] = {
    kind: tuple(unusual(kind, name) for name in names) for kind, names in _UNUSUAL.items()
}
SHIPPED: dict[SubjectKind, tuple[str, ...]] = {
    "detector": ("host",),
    "kv_tier": ("dram", "ssd"),
    "transport": ("tcp", "shm"),
    "eviction": ("lru",),
}
"""Plugins that are installed wherever these tests run; both engines are certified where they are installed."""


def pairs(*tables: dict[SubjectKind, tuple[str, ...]]) -> list[tuple[SubjectKind, str]]:
    """Return every subject of ``tables`` with its kind."""
    return [(kind, name) for table in tables for kind, names in table.items() for name in names]
