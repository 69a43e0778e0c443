"""Makes the report of a run, as data."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sage_infer_contracts.certification import ClauseResult, ConformanceReport, RunProfile
from sage_infer_contracts.clauses import CLAUSES
from sage_infer_contracts.errors import InvalidRequest

from ..kinds.table import suite_of
from ..running.names import FullName
from ..running.session import Order, Outcome, ask, docket_of
from ..waivers import Waiving
from .environment import environment

SCRIPT = "sage-infer-conformance"


def build_report(
    outcome: Outcome, order: Order, *, waiving: Waiving | None = None, deviations: Path | None = None
) -> ConformanceReport:
    """Return what a run found, or of it what ``order.rules`` asks for."""
    waiving = waiving or Waiving()
    results = sorted(outcome.docket.results(floors=order.mode == "certify"), key=_place_in_contract)
    chosen = [result for result in results if not order.rules or result.clause in order.rules]
    facts = outcome.facts.model_copy(update={"capabilities": tuple(sorted(outcome.docket.capabilities))})
    began = datetime.now(UTC) - timedelta(seconds=outcome.seconds)
    return ConformanceReport(
        subject=facts,
        profile=RunProfile(
            mode=order.mode,
            histories=order.histories(outcome.suite),
            rules=order.rules,
            deviations=str(deviations) if deviations is not None else None,
        ),
        seed=order.seed,
        command=command_line(order, outcome.facts.kind, deviations),
        results=tuple(waiving.apply(result) for result in _with_reasons(chosen, order)),
        problems=waiving.problems,
        environment=environment(),
        histories=outcome.docket.histories,
        steps=outcome.docket.steps,
        seconds=round(outcome.seconds, 3),
        started_at=began.isoformat(timespec="seconds"),
        not_tested=outcome.suite.not_tested,
    )


def _place_in_contract(result: ClauseResult) -> int:
    return list(CLAUSES).index(result.clause)


def _with_reasons(results: Sequence[ClauseResult], order: Order) -> Iterator[ClauseResult]:
    """Say of what mode develop did not come to that it was not judged."""
    stopped = order.mode == "develop" and any(result.verdict == "violated" for result in results)
    for result in results:
        if stopped and result.verdict == "thin":
            yield result.model_copy(update={"reason": "not judged: the run stopped at the first broken rule"})
        else:
            yield result


def check_rules(order: Order) -> None:
    """Find the subject and raise ``InvalidRequest`` if a clause is asked for that its kind is not judged by."""
    unknown = [clause for clause in order.rules if clause not in CLAUSES]
    if unknown:
        raise InvalidRequest(f"{unknown[0]} is no clause of the contract", param="rule")
    facts = ask(order)
    suite = suite_of(facts.kind)  # type: ignore[arg-type]  # the child validated it
    docket = docket_of(suite, is_installed=facts.distribution is not None)
    judged = docket.clauses()
    for clause in order.rules:
        if clause not in judged:
            says = f"{clause} is not judged in kind {facts.kind}; its clauses: {', '.join(judged)}"
            raise InvalidRequest(says, param="rule")


def command_line(order: Order, kind: str, deviations: Path | None = None) -> str:
    """Return what to type to have the same again."""
    name = FullName.read(order.subject)
    words = [SCRIPT, "run", name.bare, "--kind", kind, "--mode", order.mode, "--seed", str(order.seed)]
    if order.seconds is not None:
        words += ["--seconds", f"{order.seconds:g}"]
    if name.device is not None:
        words += ["--device", name.device]
    for pair in name.spelled_options():
        words += ["--set", pair]
    for rule in order.rules:
        words += ["--rule", rule]
    if deviations is not None:
        words += ["--deviations", str(deviations)]
    return shlex.join(words)
