"""Every clause stands in the table and in the docstring it binds; neither may drift."""

import inspect
import re

import pytest

from sage_infer_contracts.clauses import CLAUSES
from sage_infer_contracts.launch import BackendRecipe
from sage_infer_contracts.membership import PROTOCOLS, members

CLAUSE_ID = re.compile(r"\b(?:IB|EB|HB|HD|KV|EV|TE|BR|PK)-\d\d\b")


SUBJECTS = {**PROTOCOLS, "BackendRecipe": BackendRecipe}


def docs_of(subject: type) -> str:
    named = members(subject) if subject in PROTOCOLS.values() else ()
    return "\n".join(
        [inspect.getdoc(subject) or "", *(inspect.getdoc(vars(subject)[m]) or "" for m in named)]
    )


@pytest.mark.parametrize(
    "clause", [c for c in CLAUSES.values() if c.subject != "Package"], ids=lambda c: c.id
)
def test_a_clause_is_written_where_it_binds(clause: object) -> None:
    assert clause.id in docs_of(SUBJECTS[clause.subject])  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", SUBJECTS)
def test_docstrings_name_only_clauses_that_exist(name: str) -> None:
    assert set(CLAUSE_ID.findall(docs_of(SUBJECTS[name]))) <= set(CLAUSES)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_member_says_what_it_owes(name: str) -> None:
    for member in members(PROTOCOLS[name]):
        assert inspect.getdoc(vars(PROTOCOLS[name])[member]), f"{name}.{member} has no docstring"
