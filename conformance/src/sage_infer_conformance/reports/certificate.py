"""The certificate of a run that passed."""

from __future__ import annotations

from datetime import UTC, datetime

from sage_infer_contracts.certification import Certificate, CertifiedClause, ConformanceReport


def certificate_of(report: ConformanceReport) -> Certificate | None:
    """Return the certificate, or None where none is due.

    It is due to a subject that passed every clause of its kind in mode certify.
    """
    if not report.passed or report.profile.mode != "certify" or report.profile.rules:
        return None
    return Certificate(
        subject=report.subject,
        profile=report.profile,
        seed=report.seed,
        command=report.command,
        results=tuple(CertifiedClause(**result.model_dump(exclude={"witness"})) for result in report.results),
        environment=report.environment,
        issued_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
