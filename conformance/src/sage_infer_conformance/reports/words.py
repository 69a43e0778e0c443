"""What the verdicts and the classes of proof mean, in the words that every report uses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from sage_infer_contracts.certification import ClauseResult, ConformanceReport, Proof, SubjectFacts, Verdict
from sage_infer_contracts.clauses import CLAUSES

PROOFS: dict[Proof, str] = {
    "exact": "All there is was looked at: a counter-example would have been seen.",
    "sampled": "Histories were drawn at random, from the seed, and each step was judged. It is as good as the cases "
    "that were drawn; the number of evaluations says how many.",
    "timed": "Judged by a clock, with a margin wide enough for a busy machine. A small regression stays below it.",
    "stated": "Written down and not tested by this kit; the reason stands beside it.",
}
VERDICTS: dict[Verdict, str] = {
    "held": "evaluated at least as often as the floor asks, and never broken",
    "violated": "broken in at least one history, which is shown",
    "refused": "the capability is not declared, and every such call was refused with Unsupported, as it must be",
    "waived": "broken, and the plugin says so in its deviations.toml; only a SHOULD can be waived",
    "thin": "evaluated less often than the floor asks, so nothing is claimed",
    "error": "the subject crashed, hung or grew out of bounds before enough was seen",
    "stated": "written down and not tested",
    "not_run": "tested elsewhere: this run lacked what it takes, a device for instance",
}
ORDER: tuple[Verdict, ...] = ("violated", "error", "thin", "waived", "held", "refused", "stated", "not_run")
"""What a reader needs to see first."""


_FAILS: dict[Verdict, str] = {
    "violated": "Does not hold",
    "error": "Ends too early to judge",
    "thin": "Shows too little of",
}


def said(verdict: Verdict) -> str:
    """Return a verdict as people read it."""
    return verdict.replace("_", " ")


def count_verdicts(results: Iterable[ClauseResult]) -> dict[Verdict, int]:
    """Return how often each verdict was given, the worst first."""
    counted = Counter(result.verdict for result in results)
    return {verdict: counted[verdict] for verdict in ORDER if counted[verdict]}


def failing(report: ConformanceReport) -> list[ClauseResult]:
    """Return what the report fails for: what is broken, or else what could not be judged."""
    for verdict in ("violated", "error", "thin"):
        found = [result for result in report.results if result.verdict == verdict]
        if found:
            return found
    return []


def unjudged(report: ConformanceReport) -> dict[str, list[str]]:
    """Return what could not be judged: verdict and reason, and the clauses that share them."""
    clauses: dict[str, list[str]] = {}
    for result in report.results:
        if result.verdict in ("error", "thin") and result.witness is None:
            clauses.setdefault(f"{result.verdict}: {result.reason}", []).append(result.clause)
    return clauses


def headline(report: ConformanceReport) -> str:
    """Return the outcome in a few words, to be read after the subject's name."""
    if report.passed:
        tested = "" if all(result.verdict != "stated" for result in report.results) else " that is tested"
        scope = (
            "the clauses that were asked for" if report.profile.rules else f"every clause of its kind{tested}"
        )
        return f"Holds {scope}" + (
            "" if report.profile.mode == "certify" else f", in mode {report.profile.mode}"
        )
    found = failing(report)
    if not found:
        return "Fails for its waivers"
    return f"{_FAILS[found[0].verdict]} {', '.join(result.clause for result in found)}"


def summary(report: ConformanceReport) -> str:
    """Return the outcome in one sentence."""
    counts = ", ".join(
        f"{number} {said(verdict)}" for verdict, number in count_verdicts(report.results).items()
    )
    outcome = headline(report)
    return f"{report.subject.name}: {outcome[0].lower()}{outcome[1:]} ({counts})"


def not_tested(report: ConformanceReport) -> list[str]:
    """Return what the report says nothing about, the clauses with one reason together."""
    return [*_without_evidence(report, "stated"), *report.not_tested]


def not_run(report: ConformanceReport) -> list[str]:
    """Return what was not run here, the clauses with one reason together."""
    return _without_evidence(report, "not_run")


def _without_evidence(report: ConformanceReport, verdict: Verdict) -> list[str]:
    clauses: dict[str, list[str]] = {}
    for result in report.results:
        if result.verdict == verdict:
            clauses.setdefault(result.reason or "no reason is given", []).append(result.clause)
    return [f"{ranges(names)}: {reason}" for reason, names in clauses.items()]


def ranges(clauses: Iterable[str]) -> str:
    """Return clauses in order, three or more in a row as a range: ``IB-01 to IB-14, KV-01``."""
    rows: list[list[str]] = []
    for clause in clauses:
        last = rows[-1][-1] if rows else None
        if last is not None and last[:3] == clause[:3] and int(clause[3:]) == int(last[3:]) + 1:
            rows[-1].append(clause)
        else:
            rows.append([clause])
    return ", ".join(f"{row[0]} to {row[-1]}" if len(row) > 2 else ", ".join(row) for row in rows)


def text_of(clause: str) -> str:
    """Return what the clause says; a clause of a newer contract is not known here."""
    known = CLAUSES.get(clause)
    return known.text if known is not None else "a clause that this version of the contract does not know"


def subject_line(report: ConformanceReport) -> str:
    """Return who was judged, with the distribution where there is one."""
    subject = report.subject
    if subject.distribution is None:
        return f"{subject.name} ({subject.kind})"
    return f"{subject.name} ({subject.kind}, {subject.distribution} {subject.version})"


def written_options(subject: SubjectFacts) -> str:
    """Return what the subject was made with, as it would be typed."""
    return ", ".join(f"{name}={value}" for name, value in subject.options.items())
