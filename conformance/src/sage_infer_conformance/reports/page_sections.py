"""The parts of the HTML page, each from the report to markup. Everything from a subject is escaped here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from html import escape

from sage_infer_contracts.certification import ClauseResult, ConformanceReport, Witness
from sage_infer_contracts.clauses import CLAUSES

from .words import PROOFS, VERDICTS, not_run, not_tested, said, text_of, unjudged, written_options

_STORY_LINE = re.compile(
    r"^(?P<number>\d+)\. (?P<command>.*?)(?:  (?P<how>gives|raises) (?P<answer>.*))?$", re.S
)
_COLUMNS = ("clause", "verdict", "proof", "evaluated", "floor", "promise")
_ENVIRONMENT_NAMES = {
    "cpus": "CPUs",
    "kit": "conformance kit",
    "contract": "contract version",
    "contracts": "contracts package",
}


def section(title: str, body: str) -> str:
    """Return a section under a heading."""
    return f"<section>\n<h2>{escape(title)}</h2>\n{body}\n</section>"


def facts(pairs: Iterable[tuple[str, str | None]]) -> str:
    """Return a list of facts; those that are not known are left out."""
    rows = (
        f'<dt>{escape(name)}</dt><dd class="value">{escape(value)}</dd>' for name, value in pairs if value
    )
    return "<dl>\n" + "\n".join(rows) + "\n</dl>"


def finding_section(report: ConformanceReport) -> str:
    """Everything that speaks against the subject, and what it waives."""
    shown = [r for r in report.results if r.verdict in ("violated", "waived") or (r.witness and not r.passes)]
    problems = [
        f'<article class="finding"><p class="says error">{escape(p)}</p></article>' for p in report.problems
    ]
    cards = [*problems, *map(_finding, shown), *_unjudged(report)]
    return section("What was found", "\n".join(cards)) if cards else ""


def _unjudged(report: ConformanceReport) -> Iterator[str]:
    for why, clauses in unjudged(report).items():
        yield f'<article class="finding"><h3>{", ".join(clauses)}</h3>\n<p>{escape(why)}</p></article>'


def _finding(result: ClauseResult) -> str:
    parts = [
        f'<h3>{result.clause} <span class="verdict {result.verdict}">{said(result.verdict)}</span></h3>',
        f"<p>{result.level}: {escape(text_of(result.clause))}.</p>",
    ]
    if result.reason:
        parts.append(f'<p class="says">{escape(result.reason)}</p>')
    if result.witness is not None:
        parts.append(_witness(result.witness))
    return '<article class="finding" id="finding-{}">\n{}\n</article>'.format(result.clause, "\n".join(parts))


def _witness(witness: Witness) -> str:
    says = f'<p class="says">{escape(witness.says)}</p>'
    if not witness.story:
        return says
    *before, last = witness.story
    omitted = [line for line in before if not _STORY_LINE.match(line)]
    steps = [_step(line, failing=False) for line in before if line not in omitted] + [
        _step(last, failing=True)
    ]
    told = f"Scenario <em>{escape(witness.scenario)}</em>, step by step"
    told += f", {escape(omitted[0].strip('()'))} these" if omitted else ""
    items = "\n".join(steps)
    return f'{says}\n<p class="omitted">{told}:</p>\n<ol class="story">\n{items}\n</ol>'


def _step(line: str, *, failing: bool) -> str:
    match = _STORY_LINE.match(line)
    number, command, how, answer = match.groups() if match else (None, line, None, None)
    value = f' value="{number}"' if number else ""
    shown = escape(command) + (f' <span class="answer">{how} {escape(answer or "")}</span>' if how else "")
    if failing:
        return f'<li class="failing"{value}>{shown} <span class="flag">← here it shows</span></li>'
    return f"<li{value}>{shown}</li>"


def clause_section(report: ConformanceReport) -> str:
    """The table of clauses."""
    head = "".join(f'<th{_number_class(name)} scope="col">{name}</th>' for name in _COLUMNS)
    rows = "\n".join(_row(result) for result in report.results if result.verdict != "not_run")
    return section("Clauses", f'<div class="scroll"><table>\n<tr>{head}</tr>\n{rows}\n</table></div>')


def _number_class(column: str) -> str:
    return ' class="number"' if column in ("evaluated", "floor") else ""


def _row(result: ClauseResult) -> str:
    tested = result.proof != "stated"
    cells = [
        f'<td class="id">{result.clause}</td>',
        f'<td class="verdict {result.verdict}" title="{escape(VERDICTS[result.verdict])}">{said(result.verdict)}</td>',
        f"<td>{result.proof}</td>",
        f'<td class="number">{f"{result.evaluations:,}" if tested else ""}</td>',
        f'<td class="number">{f"{result.floor:,}" if tested else ""}</td>',
        f'<td class="promise">{escape(text_of(result.clause))}{_notes(result)}</td>',
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _notes(result: ClauseResult) -> str:
    clause = CLAUSES.get(result.clause)
    notes = []
    if result.level != "MUST":
        notes.append(f"{result.level}: advice, which a plugin may waive")
    if clause is not None and clause.capability is not None:
        notes.append(f"binds who declares {clause.capability}")
    if result.refusals:
        notes.append(f"{result.refusals:,} calls were refused, as they must be")
    if result.reason and result.verdict == "waived":
        notes.append(result.reason)
    return "".join(f'<span class="note">{escape(note)}</span>' for note in notes)


def subject_section(report: ConformanceReport) -> str:
    """Who was judged."""
    subject = report.subject
    distribution = (
        f"{subject.distribution} {subject.version}" if subject.distribution else "not installed as one"
    )
    pairs = [
        ("name", subject.name),
        ("kind", subject.kind),
        ("found at", subject.target),
        ("distribution", distribution),
        ("SHA-256 of RECORD", subject.record_digest),
        ("device", subject.device),
        ("made with", written_options(subject) or None),
        ("declares", ", ".join(subject.capabilities)),
    ]
    return section("What was judged", facts(pairs))


def again_section(report: ConformanceReport) -> str:
    """How it was judged, and how to have the same again."""
    drawn = ", ".join(f"{number} of {name}" for name, number in report.profile.histories.items())
    pairs = [
        ("mode", report.profile.mode),
        ("seed", str(report.seed)),
        ("played", f"{report.histories:,} histories, {report.steps:,} steps, in {report.seconds:.1f} s"),
        ("planned", drawn),
        ("waivers", report.profile.deviations),
    ]
    command = f'<p class="command">{escape(report.command)}</p>'
    hint = (
        "<p><code>sage-infer-conformance replay report.json</code> carries out again what broke a clause.</p>"
    )
    broken = any(result.witness is not None for result in report.results)
    return section(
        "How it was judged, and how to do it again", command + (hint if broken else "") + facts(pairs)
    )


def environment_section(report: ConformanceReport) -> str:
    """What the run stood on."""
    named = ((_ENVIRONMENT_NAMES.get(name, name), value) for name, value in report.environment.items())
    return section("Environment", facts(named))


def proof_section(report: ConformanceReport) -> str:
    """What each class of proof and each verdict of this report means."""
    proofs = [proof for proof in PROOFS if any(result.proof == proof for result in report.results)]
    given = {result.verdict for result in report.results} - {"stated"}  # explained as a class of proof
    verdicts = [verdict for verdict in VERDICTS if verdict in given]
    rows = [f"<dt>{proof}</dt><dd>{escape(PROOFS[proof])}</dd>" for proof in proofs]
    rows += [
        f'<dt class="{verdict}">{said(verdict)}</dt><dd>{escape(VERDICTS[verdict])}.</dd>'
        for verdict in verdicts
    ]
    return section("What the words mean", "<dl>\n" + "\n".join(rows) + "\n</dl>")


def not_run_section(report: ConformanceReport) -> str:
    """Clauses that other runs judge, and why this one could not; empty where there are none."""
    left_out = [result for result in report.results if result.verdict == "not_run"]
    reasons = "\n".join(f"<p>{escape(line)}.</p>" for line in not_run(report))
    rows = (f"<dt>{result.clause}</dt><dd>{escape(text_of(result.clause))}</dd>" for result in left_out)
    listed = "\n".join(rows)
    return section("What was not run", f"{reasons}\n<dl>\n{listed}\n</dl>") if left_out else ""


def not_tested_section(report: ConformanceReport) -> str:
    """What this report says nothing about."""
    items = not_tested(report)
    items.append("what no clause of the contract speaks of, such as how fast or how good the plugin is")
    if report.subject.device == "simulated":
        items.append("a real device: none took part in this run")
    listed = "\n".join(f"<li>{escape(item)}</li>" for item in items)
    return section("What was not tested", f"<ul>\n{listed}\n</ul>")
