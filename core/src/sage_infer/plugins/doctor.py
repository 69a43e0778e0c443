"""What ``sage infer plugin doctor`` finds out: every plugin is loaded in a child process and judged."""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import attrs

from sage_infer_contracts.plugins import DoctorLine

from . import errors
from .catalog import PluginEntry, Problem
from .child import ChildAnswer, ask
from .registry import Registry, ref_of

DEFAULT_TIMEOUT_S = 20.0
_FLOOR_ONLY = re.compile(r"^>=\s*[^,]+$")
_PARALLEL = 4


@attrs.frozen(slots=True)
class Finding:
    """One line of the report, and the plugin it is about (``dist:name``); None: about the installation."""

    plugin: str | None
    kind: str | None
    line: DoctorLine


@attrs.frozen(slots=True)
class Report:
    """All findings, those about the installation first. ``ok`` only if nothing is wrong."""

    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether every line is good."""
        return all(finding.line.ok for finding in self.findings)


def examine(registry: Registry, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> Report:
    """Judge everything the catalog lists; ``timeout_s`` bounds each plugin's child."""
    findings = [_of_problem(problem) for problem in registry.catalog.problems]
    for reports in probe(registry.entries(), timeout_s=timeout_s):
        findings.extend(reports)
    return Report(tuple(findings))


def probe(entries: Sequence[PluginEntry], *, timeout_s: float = DEFAULT_TIMEOUT_S) -> list[list[Finding]]:
    """Load each entry in a child of its own; return the findings per entry, in order."""
    with ThreadPoolExecutor(_PARALLEL) as pool:
        return list(pool.map(lambda entry: _examine(entry, timeout_s), entries))


def _examine(entry: PluginEntry, timeout_s: float) -> list[Finding]:
    answer = ask({"ref": ref_of(entry).model_dump(mode="json")}, timeout_s=timeout_s)
    lines = [*_dependency(entry), *_loading(entry, answer)]
    if all(line.ok for line in lines):
        lines.insert(0, DoctorLine(ok=True, text=f"{errors.describe(entry)} loads"))
    return [Finding(entry.qualified, entry.kind.value, line) for line in lines]


def _dependency(entry: PluginEntry) -> list[DoctorLine]:
    """PK-01: a floor-only dependency on the contracts."""
    requirement = entry.requires_contract
    if requirement is not None and _FLOOR_ONLY.match(requirement):
        return []
    found = (
        f"requires sage-infer-contracts {requirement}"
        if requirement
        else "sets no floor for sage-infer-contracts"
    )
    return [
        DoctorLine(
            ok=False,
            text=f"{entry.distribution} {found} (PK-01)",
            fix='depend on "sage-infer-contracts>=X.Y", a floor without a cap',
        )
    ]


def _loading(entry: PluginEntry, child: ChildAnswer) -> list[DoctorLine]:
    who = errors.describe(entry)
    if child.answer is None:
        last = child.stderr_tail.splitlines()[-1:] or [""]
        return [DoctorLine(ok=False, text=f"{who} {child.failure}. {last[0]}".rstrip(" ."), fix=None)]
    if "error" in child.answer:
        return [DoctorLine(ok=False, text=str(child.answer["error"]["message"]), fix=None)]
    lines = [DoctorLine(ok=False, text=str(text), fix=None) for text in child.answer.get("problems", ())]
    if child.answer["heavy"]:
        heavy = ", ".join(child.answer["heavy"])
        text = f"{who}: importing its entry module imports {heavy} (PK-02)"
        lines.append(
            DoctorLine(ok=False, text=text, fix="import it inside start(), prepare() or the factory")
        )
    return [*lines, *(DoctorLine.model_validate(line) for line in child.answer.get("lines", ()))]


def _of_problem(problem: Problem) -> Finding:
    kind = None if problem.kind is None else problem.kind.value
    plugin = f"{problem.distribution}:{problem.name}" if problem.distribution and problem.name else None
    return Finding(plugin, kind, DoctorLine(ok=False, text=problem.message))
