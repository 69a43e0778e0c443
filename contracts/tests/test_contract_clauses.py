"""Every clause stands in the table and in the docstring it binds; neither may drift."""

import inspect
import re

import pytest

from sage_infer_contracts.clauses import CLAUSES
from sage_infer_contracts.membership import PROTOCOLS, members

CLAUSE_ID = re.compile(r"\b(?:IB|EB|HB|HD|KV|EV|TE|PK)-\d\d\b")


def docs_of(protocol: type) -> str:
    return "\n".join(
        [
            inspect.getdoc(protocol) or "",
            *(inspect.getdoc(vars(protocol)[m]) or "" for m in members(protocol)),
        ]
    )


@pytest.mark.parametrize(
    "clause", [c for c in CLAUSES.values() if c.subject != "Package"], ids=lambda c: c.id
)
def test_a_clause_is_written_where_it_binds(clause: object) -> None:
    assert clause.id in docs_of(PROTOCOLS[clause.subject])  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_docstrings_name_only_clauses_that_exist(name: str) -> None:
    assert set(CLAUSE_ID.findall(docs_of(PROTOCOLS[name]))) <= set(CLAUSES)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_member_says_what_it_owes(name: str) -> None:
    for member in members(PROTOCOLS[name]):
        assert inspect.getdoc(vars(PROTOCOLS[name])[member]), f"{name}.{member} has no docstring"
