"""The report as JUnit XML: one test case a clause.

A clause that is stated or not run is 'skipped', for JUnit has no better word.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree as Xml

from sage_infer_contracts.certification import ClauseResult, ConformanceReport

from .story import clause_story
from .words import said, text_of

_TAGS = {
    "violated": "failure",
    "thin": "failure",
    "error": "error",
    "stated": "skipped",
    "not_run": "skipped",
}
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(report: ConformanceReport) -> str:
    """Return the whole document."""
    counted = [_TAGS.get(result.verdict) for result in report.results]
    facts = {
        "name": f"sage-infer conformance of {report.subject.name}",
        "tests": str(len(report.results) + len(report.problems)),
        "failures": str(counted.count("failure") + len(report.problems)),
        "errors": str(counted.count("error")),
        "skipped": str(counted.count("skipped")),
        "time": f"{report.seconds:.3f}",
        "timestamp": report.started_at,
    }
    suite = Xml.Element("testsuite", {key: _clean(value) for key, value in facts.items()})
    properties = Xml.SubElement(suite, "properties")
    told = {
        **report.environment,
        "seed": str(report.seed),
        "mode": report.profile.mode,
        "command": report.command,
    }
    for name, value in told.items():
        Xml.SubElement(properties, "property", {"name": name, "value": _clean(value)})
    for result in report.results:
        _add_case(suite, report, result)
    for number, problem in enumerate(report.problems, start=1):
        case = _case(suite, report, f"waiver {number}")
        Xml.SubElement(case, "failure", {"message": _clean(problem)})
    root = Xml.Element("testsuites")
    root.append(suite)
    Xml.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + Xml.tostring(root, encoding="unicode") + "\n"


def _case(suite: Xml.Element, report: ConformanceReport, name: str) -> Xml.Element:
    classname = f"{report.subject.kind}.{report.subject.name}"
    return Xml.SubElement(suite, "testcase", {"classname": _clean(classname), "name": _clean(name)})


def _add_case(suite: Xml.Element, report: ConformanceReport, result: ClauseResult) -> None:
    case = _case(suite, report, f"{result.clause} {text_of(result.clause)}")
    tag = _TAGS.get(result.verdict)
    if tag is not None:
        says = result.witness.says if result.witness is not None else result.reason or ""
        element = Xml.SubElement(case, tag, {"message": _clean(f"{said(result.verdict)}: {says}")})
        if tag != "skipped":
            element.text = _clean(clause_story(result))
    else:
        counts = f"evaluated {result.evaluations} times, floor {result.floor}, {result.refusals} refused"
        told = f"{result.verdict}, {result.proof}, {counts}"
        Xml.SubElement(case, "system-out").text = _clean(told)


def _clean(text: str) -> str:
    """Take out what XML cannot hold; a subject may put anything into a message."""
    return _NOT_XML.sub("\ufffd", text)
