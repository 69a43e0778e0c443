"""Write ``docs/reference/rules.md`` from the conformance kit itself.

Run ``python docs/tools/rules_reference.py`` after a change; ``--check`` exits 1 when the page is stale.
"""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path

from sage_infer_conformance.catalogue import Entry, catalogue, how_judged, looks_at, mutants_of
from sage_infer_conformance.judging.rules import Rule
from sage_infer_conformance.reports.words import PROOFS, VERDICTS

PAGE = Path(__file__).resolve().parents[1] / "reference" / "rules.md"
INTRO = (
    "How the conformance kit judges each clause of the [contract](contracts.md): by a rule, with a class of proof and "
    "a floor of evaluations below which nothing is claimed, or not at all, and why. Under each clause stand the broken "
    "plugins that its own rule must catch; a test runs every one of them. How to run the kit and read its reports is "
    "in the [guide](../guide/conformance.md). This page is made by `python docs/tools/rules_reference.py`; a test "
    "fails when it is stale."
)


def cell(text: str) -> str:
    """Keep ``text`` inside one cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def overview(entries: dict[str, Entry]) -> str:
    """One line a clause."""
    rows = [
        "| clause | level | needs | judged in | proof | floor | broken plugins caught |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, entry in entries.items():
        kinds = ", ".join(kind for kind, _ in entry.rules) or "not tested"
        proofs = ", ".join(dict.fromkeys(rule.proof for _, rule in entry.rules)) or "stated"
        floors = ", ".join(dict.fromkeys(str(rule.floor) for _, rule in entry.rules))
        caught = len(mutants_of(name)) or ""
        anchor = f"[{name}](#{name.lower()})"
        needs = f"`{entry.clause.capability}`" if entry.clause.capability is not None else "nothing"
        rows.append(
            f"| {anchor} | {entry.clause.level} | {needs} | {kinds} | {proofs} | {floors} | {caught} |"
        )
    return "\n".join(rows)


def rule_line(kind: str, rule: Rule) -> str:
    """One rule, as an item of a list."""
    line = f"- judged in {kind}, at {looks_at(rule)}; proof `{rule.proof}`, floor {rule.floor}, since {rule.since}."
    return f"{line} {how_judged(rule)}".rstrip()


def section(entry: Entry) -> str:
    """Everything about one clause."""
    clause = entry.clause
    binds = f" Binds who declares `{clause.capability}`." if clause.capability is not None else ""
    parts = [f"### {clause.id}", f"{clause.level}: {clause.text}.{binds}"]
    lines = [rule_line(kind, rule) for kind, rule in entry.rules]
    lines += [f"- not tested in {kind}: {item.reason}" for kind, item in entry.stated]
    parts.append("\n".join(lines))
    proving = mutants_of(clause.id)
    if proving:
        rows = [f"| `{mutant.name}` | {kind} | {cell(mutant.fault)} |" for kind, mutant in proving]
        parts.append("\n".join(["| broken plugin | kind | fault |", "|---|---|---|", *rows]))
    return "\n\n".join(parts)


def render() -> str:
    """The whole page."""
    entries = catalogue()
    words = [f"- `{proof}`: {text}" for proof, text in PROOFS.items()]
    verdicts = [f"- `{verdict}`: {text}." for verdict, text in VERDICTS.items()]
    sections = [
        "# Rule catalogue",
        INTRO,
        "## Overview",
        overview(entries),
        "## Classes of proof",
        "\n".join(words),
    ]
    sections += ["## Verdicts", "\n".join(verdicts)]
    for subject, group in groupby(entries.values(), key=lambda entry: entry.clause.subject):
        sections += [f"## {subject}", *map(section, group)]
    return "\n\n".join(sections) + "\n"


def main(arguments: list[str]) -> int:
    """Write the page, or with ``--check`` compare it."""
    page = render()
    if "--check" in arguments:
        if PAGE.exists() and PAGE.read_text(encoding="utf-8") == page:
            return 0
        print(f"{PAGE.name} is stale: run python docs/tools/rules_reference.py", file=sys.stderr)
        return 1
    PAGE.write_text(page, encoding="utf-8")
    print(f"wrote {PAGE}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
