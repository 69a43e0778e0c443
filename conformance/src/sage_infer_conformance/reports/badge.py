"""A badge, as shields.io reads it from an endpoint: https://shields.io/badges/endpoint-badge."""

from __future__ import annotations

from sage_infer_contracts.certification import ConformanceReport
from sage_infer_contracts.wire import CONTRACT_VERSION

from .words import failing


def badge(report: ConformanceReport) -> dict[str, str | int]:
    """Return the endpoint's object: schema version, label, message and colour."""
    return {
        "schemaVersion": 1,
        "label": "sage-infer conformance",
        "message": f"{report.subject.kind} v{CONTRACT_VERSION}: {_outcome(report)}",
        "color": _color(report),
    }


def _outcome(report: ConformanceReport) -> str:
    found = failing(report)
    if found:
        return f"{found[0].clause} {found[0].verdict}" + (f" and {len(found) - 1} more" if found[1:] else "")
    if report.problems:
        return "waivers fail"
    tested = sum(result.verdict not in ("stated", "not_run") for result in report.results)
    return f"{tested} clauses {'certified' if report.profile.mode == 'certify' else 'pass'}"


def _color(report: ConformanceReport) -> str:
    if report.passed:
        waived = any(result.verdict == "waived" for result in report.results)
        return "green" if waived or report.profile.mode != "certify" else "brightgreen"
    return (
        "red"
        if report.problems or any(r.verdict in ("violated", "error") for r in report.results)
        else "orange"
    )
