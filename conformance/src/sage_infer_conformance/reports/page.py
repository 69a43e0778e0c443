"""The report as one HTML file that needs nothing else: light and dark, on a screen and on paper."""

from __future__ import annotations

from html import escape
from importlib.resources import files
from string import Template

from sage_infer_contracts.certification import ConformanceReport

from .page_sections import (
    again_section,
    clause_section,
    finding_section,
    not_tested_section,
    proof_section,
    subject_section,
)
from .words import count_verdicts

_SECTIONS = (
    finding_section,
    clause_section,
    subject_section,
    again_section,
    proof_section,
    not_tested_section,
)


def html_page(report: ConformanceReport) -> str:
    """Return the whole page."""
    templates = files(__package__) / "templates"
    template = Template((templates / "page.html").read_text(encoding="utf-8"))
    outcome = "holds the contract" if report.passed else "does not hold the contract"
    counts = count_verdicts(report.results).items()
    return template.substitute(
        title=escape(f"{report.subject.name} {outcome}"),
        style=(templates / "page.css").read_text(encoding="utf-8"),
        outcome="passed" if report.passed else "failed",
        contract=escape(report.environment.get("contract", "")),
        name=escape(report.subject.name),
        mark="✓" if report.passed else "✗",
        headline=escape(_headline(report)),
        counts="\n".join(
            f'<li><strong>{number}</strong> <span class="{v}">{v}</span></li>' for v, number in counts
        ),
        sections="\n".join(filter(None, (section(report) for section in _SECTIONS))),
        kit=escape(report.environment.get("kit", "")),
        started_at=escape(report.started_at.removesuffix("+00:00").replace("T", " ")),
    )


def _headline(report: ConformanceReport) -> str:
    failing = [result.clause for result in report.results if not result.passes]
    if report.passed:
        scope = "every clause of its kind" if not report.profile.rules else "the clauses that were asked for"
        return f"Holds {scope}" + (
            "" if report.profile.mode == "certify" else f", in mode {report.profile.mode}"
        )
    return f"Does not hold {', '.join(failing)}" if failing else "Fails for its waivers"
