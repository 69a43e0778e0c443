"""Every broken plugin is caught by the rule of the clause that it breaks, at the budget of certify.

``matrix_scenarios.json`` names the scenario in which each was caught last; that one is played first, with the seed it
has in a whole run, and the whole run follows only where it does not suffice. ``SAGE_KIT_MATRIX=FILE`` writes it anew.
"""

import json
import os
from pathlib import Path

import pytest

from sage_infer_conformance.mutants.mutant import Mutant, ward_of
from sage_infer_conformance.running.session import Order, run
from sage_infer_contracts.certification import ClauseResult

KINDS = ("backend", "eviction", "conduct", "embedding", "hybrid", "kv_tier", "transport", "detector")
MUTANTS = [(kind, mutant) for kind in KINDS for mutant in ward_of(kind)]
SCENARIOS: dict[str, str] = json.loads(Path(__file__).with_name("matrix_scenarios.json").read_text())
SEED = int(os.environ.get("SAGE_KIT_SEED", "0"))


def verdict_on(kind: str, mutant: Mutant, *scenarios: str) -> ClauseResult:
    subject = f"sage_infer_conformance.mutants.{kind}:MUTANTS.{mutant.name}"
    outcome = run(Order(subject, seed=SEED, until_broken=mutant.clause, scenarios=scenarios))
    return next(result for result in outcome.docket.results() if result.clause == mutant.clause)


def keep_scenario(name: str, result: ClauseResult) -> None:
    target = os.environ.get("SAGE_KIT_MATRIX")
    if target is not None and result.witness is not None:
        with Path(target).open("a", encoding="utf-8") as lines:
            lines.write(json.dumps({name: result.witness.scenario}) + "\n")


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "mutant"), MUTANTS, ids=[f"{m.clause}-{m.name}" for _, m in MUTANTS])
def test_a_mutant_is_killed_by_its_own_rule(kind: str, mutant: Mutant) -> None:
    name = f"{kind}.{mutant.name}"
    first = SCENARIOS.get(name)
    result = verdict_on(kind, mutant, *([first] if first else []))
    if result.verdict != "violated" and first:
        result = verdict_on(kind, mutant)
    keep_scenario(name, result)
    assert result.verdict == "violated", f"{mutant.fault}: {result}"


def test_every_clause_has_two_mutants() -> None:
    for kind in KINDS:
        ward = ward_of(kind)
        for clause in {mutant.clause for mutant in ward}:
            assert sum(mutant.clause == clause for mutant in ward) >= 2, clause
