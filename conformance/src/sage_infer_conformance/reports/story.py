"""What was found, told in plain text: for an assertion, a JUnit file, a terminal."""

from __future__ import annotations

from sage_infer_contracts.certification import ClauseResult, ConformanceReport

from .words import summary, text_of, unjudged


def clause_story(result: ClauseResult) -> str:
    """Return what became of one clause, with the history that breaks it and the failing step marked."""
    lines = [f"{result.clause} ({result.level}) {result.verdict}: {text_of(result.clause)}"]
    if result.reason:
        lines.append(f"  {result.reason}")
    if result.witness is not None:
        lines.append(f"  {result.witness.says}")
        lines += [f"  scenario {result.witness.scenario}:"] if result.witness.story else []
        *before, last = result.witness.story or ("",)
        lines += [f"      {line}" for line in before]
        lines += [f"    > {last}"] if last else []
    return "\n".join(lines)


def full_story(report: ConformanceReport) -> str:
    """Return the outcome, what is broken and what could not be judged, and the command that does it again."""
    parts = [summary(report), *report.problems, *stories(report), f"Do it again: {report.command}"]
    return "\n\n".join(parts)


def stories(report: ConformanceReport) -> list[str]:
    """Return the story of each clause that is broken, and a line for those that could not be judged."""
    told = [
        clause_story(result) for result in report.results if not result.passes and result.witness is not None
    ]
    rare = [f"{', '.join(clauses)}: {why}" for why, clauses in unjudged(report).items()]
    return [*told, "\n".join(rare)] if rare else told
