"""Every broken plugin is caught by the rule of the clause that it breaks."""

import pytest

from sage_infer_conformance.mutants.mutant import Mutant, ward_of
from sage_infer_conformance.running.session import Order, run

KINDS = ("backend", "eviction", "conduct", "detector", "embedding", "hybrid", "kv_tier", "transport")
MUTANTS = [(kind, mutant) for kind in KINDS for mutant in ward_of(kind)]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "mutant"), MUTANTS, ids=[f"{m.clause}-{m.name}" for _, m in MUTANTS])
def test_a_mutant_is_killed_by_its_own_rule(kind: str, mutant: Mutant) -> None:
    subject = f"sage_infer_conformance.mutants.{kind}:MUTANTS.{mutant.name}"
    outcome = run(Order(subject, until_broken=mutant.clause))
    verdicts = {result.clause: result for result in outcome.docket.results()}
    assert verdicts[mutant.clause].verdict == "violated", f"{mutant.fault}: {verdicts[mutant.clause]}"


def test_every_clause_has_two_mutants() -> None:
    for kind in KINDS:
        ward = ward_of(kind)
        for clause in {mutant.clause for mutant in ward}:
            assert sum(mutant.clause == clause for mutant in ward) >= 2, clause
