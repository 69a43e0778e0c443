"""Compares what was claimed with what was found."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from sage_infer_contracts.certification import Certificate, CertifiedClause, ClauseResult, ConformanceReport


@attrs.frozen(slots=True)
class Comparison:
    """``differences`` speak against the claim; ``notes`` may explain them."""

    differences: tuple[str, ...]
    notes: tuple[str, ...]


def compare(claim: Certificate | ConformanceReport, found: ConformanceReport) -> Comparison:
    """Compare verdicts, counts and histories, and note what else is not as it was."""
    return Comparison(tuple(_differences(claim, found)), tuple(_notes(claim, found)))


def _differences(claim: Certificate | ConformanceReport, found: ConformanceReport) -> Iterator[str]:
    now = {result.clause: result for result in found.results}
    for then in claim.results:
        if then.clause not in now:
            yield f"{then.clause} was {then.verdict} and is not judged any more"
        else:
            yield from _difference(then, now.pop(then.clause))
    for clause, result in now.items():
        yield f"{clause} was not judged and is {result.verdict}"
    if found.problems:
        yield from found.problems
    if claim.profile.histories != found.profile.histories:
        yield f"other histories are drawn: {claim.profile.histories} then, {found.profile.histories} now"


def _difference(then: CertifiedClause | ClauseResult, now: ClauseResult) -> Iterator[str]:
    if then.verdict != now.verdict:
        yield f"{then.clause} was {then.verdict} and is {now.verdict}"
    elif (then.evaluations, then.refusals) != (now.evaluations, now.refusals):
        counts = f"{then.evaluations} times ({then.refusals} refused)"
        yield f"{then.clause} was evaluated {counts} and now {now.evaluations} times ({now.refusals} refused)"


def _notes(claim: Certificate | ConformanceReport, found: ConformanceReport) -> Iterator[str]:
    for name in sorted(claim.environment.keys() | found.environment.keys()):
        then, now = claim.environment.get(name, "unknown"), found.environment.get(name, "unknown")
        if then != now:
            yield f"{name} was {then} and is {now}"
    before, after = claim.subject, found.subject
    for name in ("target", "distribution", "version", "record_digest", "device", "options"):
        then, now = getattr(before, name), getattr(after, name)
        if then != now:
            yield f"the subject's {name.replace('_', ' ')} was {then} and is {now}"
