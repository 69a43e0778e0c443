"""Reports made by hand, for tests of what is written of them."""

from sage_infer_contracts.certification import (
    ClauseResult,
    ConformanceReport,
    RunProfile,
    SubjectFacts,
    Verdict,
    Witness,
)

WITNESS = Witness(
    scenario="wander",
    says="b1 is proposed and is pinned 1 times",
    step=1,
    story=("1. admit b1", "2. victims(1)  gives ['b1']"),
    history=('{"kind": "eviction"}',),
)


def result(verdict: Verdict = "held", clause: str = "EV-01") -> ClauseResult:
    broken = verdict in ("violated", "waived")
    return ClauseResult(
        clause=clause,
        level="MUST",
        proof="stated" if verdict == "stated" else "sampled",
        verdict=verdict,
        evaluations=700,
        floor=500,
        reason="no clock here" if verdict == "stated" else None,
        witness=WITNESS if broken else None,
    )


def report(*results: ClauseResult, **changes: object) -> ConformanceReport:
    facts: dict[str, object] = {
        "subject": SubjectFacts(name="lru", kind="eviction", target="lru:Policy"),
        "profile": RunProfile(mode="certify", histories={"wander": 200}),
        "seed": 7,
        "command": "sage-infer-conformance run lru --seed 7",
        "results": results,
        "environment": {"kit": "0.1.0", "python": "CPython 3.11"},
        "started_at": "2026-01-01T00:00:00+00:00",
    }
    return ConformanceReport.model_validate({**facts, **changes})
