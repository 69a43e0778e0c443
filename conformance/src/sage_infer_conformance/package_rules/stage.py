"""The part of a run that looks at the package the subject came from."""

from __future__ import annotations

from sage_infer_contracts.certification import SubjectFacts
from sage_infer_contracts.testing import SubjectKind

from ..judging.docket import Docket
from .gathering import gather
from .not_run import not_run
from .recipe_rules import RECIPE_RULES
from .rules import INSTALLED_RULES, safe_to_start

PACKAGE_CLAUSES = frozenset({*(rule.clause for rule in (*INSTALLED_RULES, *RECIPE_RULES)), "PK-05"})
"""What the stage adds findings to."""


def judge_package(docket: Docket, subject: str, facts: SubjectFacts) -> None:
    """Find out about the package of ``subject`` (a full name) and add what the rules say to ``docket``."""
    if facts.distribution is None:
        return
    kind: SubjectKind = facts.kind  # type: ignore[assignment]  # the child validated it
    found = gather(subject, kind, facts.distribution)
    for rule in (*INSTALLED_RULES, *RECIPE_RULES):
        docket.enter(rule.clause, rule.judge(None, found))
    docket.state(not_run(found))
    docket.enter("PK-05", safe_to_start(None, found))
