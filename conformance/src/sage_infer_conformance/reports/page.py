"""The report as one HTML file that needs nothing else: light and dark, on a screen and on paper."""

from __future__ import annotations

from html import escape
from importlib.resources import files
from string import Template

from sage_infer_contracts.certification import ConformanceReport

from .page_sections import (
    again_section,
    clause_section,
    environment_section,
    finding_section,
    not_run_section,
    not_tested_section,
    proof_section,
    subject_section,
)
from .words import count_verdicts, headline, said

_SECTIONS = (
    finding_section,
    clause_section,
    proof_section,
    not_run_section,
    not_tested_section,
    subject_section,
    again_section,
    environment_section,
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
        about=escape(_about(report)),
        name=escape(report.subject.name),
        mark="✓" if report.passed else "✗",
        headline=escape(headline(report)),
        counts="\n".join(
            f'<li><strong>{number}</strong> <span class="{v}">{said(v)}</span></li>' for v, number in counts
        ),
        sections="\n".join(filter(None, (section(report) for section in _SECTIONS))),
        kit=escape(report.environment.get("kit", "")),
        started_at=escape(report.started_at.removesuffix("+00:00").replace("T", " ")),
    )


def _about(report: ConformanceReport) -> str:
    subject = report.subject
    parts = [
        f"{subject.distribution} {subject.version}" if subject.distribution else None,
        f"kind {subject.kind}",
        f"contract {report.environment.get('contract', 'unknown')}",
        f"mode {report.profile.mode}",
        f"seed {report.seed}",
        f"device {subject.device}",
    ]
    return " · ".join(part for part in parts if part)
