"""The catalogue: no clause is forgotten, and nothing in it contradicts the contract."""

import pytest

from sage_infer_conformance.catalogue import Entry, catalogue, how_judged, mutants_of
from sage_infer_contracts.clauses import CLAUSES

ENTRIES = catalogue()


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
def test_every_clause_has_a_rule_or_a_reason(entry: Entry) -> None:
    assert entry.by, f"{entry.clause.id} is neither judged nor stated"
    for _, item in entry.stated:
        assert len(item.reason) > 10
    for _, rule in entry.rules:
        assert rule.proof != "stated"
        assert rule.floor > 0, "a rule without a floor passes what it never saw"


def test_the_catalogue_is_the_contract_in_its_order() -> None:
    assert list(ENTRIES) == list(CLAUSES)


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
def test_broken_plugins_prove_rules_that_exist_and_differ(entry: Entry) -> None:
    proving = mutants_of(entry.clause.id)
    assert entry.rules or not proving
    told = [(kind, mutant.fault) for kind, mutant in proving]
    assert len(told) == len(set(told)), "two broken plugins with one fault"


def test_how_a_rule_judges_is_told_without_its_id() -> None:
    (_, rule), *_ = ENTRIES["PK-04"].rules
    told = how_judged(rule)
    assert told.startswith("What comes out of a subject")
