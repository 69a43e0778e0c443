"""Writes a report into a folder, in every form there is."""

from __future__ import annotations

import json
from pathlib import Path

from sage_infer_contracts.certification import ConformanceReport

from .badge import badge
from .certificate import certificate_of
from .junit import junit_xml
from .page import html_page


def write_reports(report: ConformanceReport, folder: Path) -> list[Path]:
    """Write every form of ``report`` and return the files. A certificate is written only where one is due.

    A certificate and witnesses of an earlier run in the same folder are taken away: they would contradict this one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    certificate = certificate_of(report)
    texts = {
        "report.json": report.model_dump_json(indent=2) + "\n",
        "report.html": html_page(report),
        "junit.xml": junit_xml(report),
        "badge.json": json.dumps(badge(report), indent=2) + "\n",
        "certificate.json": certificate.model_dump_json(indent=2) + "\n" if certificate is not None else None,
    }
    written = []
    for name, text in texts.items():
        path = folder / name
        if text is None:
            path.unlink(missing_ok=True)
        else:
            path.write_text(text, encoding="utf-8")
            written.append(path)
    return written + _write_witnesses(report, folder / "witnesses")


def _write_witnesses(report: ConformanceReport, folder: Path) -> list[Path]:
    for old in folder.glob("??-??.jsonl"):
        old.unlink()
    written = []
    for result in report.results:
        if result.witness is not None and result.witness.history:
            folder.mkdir(exist_ok=True)
            path = folder / f"{result.clause}.jsonl"
            path.write_text("\n".join(result.witness.history) + "\n", encoding="utf-8")
            written.append(path)
    return written
