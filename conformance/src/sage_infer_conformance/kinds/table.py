"""Which kinds the kit judges, and where each suite lives; a suite is imported when it is used."""

from __future__ import annotations

from importlib import import_module

from sage_infer_contracts.testing import SubjectKind

from .suite import Suite

MODULES: dict[SubjectKind, str] = {
    "backend": "backend.suite",
    "eviction": "eviction.suite",
    "detector": "detector.suite",
    "embedding": "embedding.suite",
    "hybrid": "hybrid.suite",
    "kv_tier": "kv_tier.suite",
    "transport": "transport.suite",
}


def suite_of(kind: SubjectKind) -> Suite:
    """Return the suite of ``kind``."""
    suite: Suite = import_module(f"{__package__}.{MODULES[kind]}").SUITE
    return suite
