"""What was found, told in plain text: for an assertion, a JUnit file, a terminal."""

from __future__ import annotations

from sage_infer_contracts.certification import ClauseResult, ConformanceReport

from .words import summary, text_of


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
    """Return the outcome, every clause that does not pass, and the command that does it again."""
    stories = [
        clause_story(result) for result in report.results if not result.passes and result.verdict != "thin"
    ]
    thin = [result for result in report.results if result.verdict == "thin"]
    rare = "\n".join(f"{result.clause} (thin): {result.reason}" for result in thin)
    parts = [summary(report), *report.problems, *stories, rare, f"Do it again: {report.command}"]
    return "\n\n".join(filter(None, parts))
