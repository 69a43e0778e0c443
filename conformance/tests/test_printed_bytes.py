"""How much a subject may print (PK-08): a little for each step, and a page for an engine that starts."""

from __future__ import annotations

import pytest

from sage_infer_conformance.history.files import Header
from sage_infer_conformance.judging.docket import Docket
from sage_infer_conformance.judging.package import OUTPUT_BYTES, PACKAGE_RULES
from sage_infer_conformance.kinds.backend.model import BackendModel
from sage_infer_conformance.kinds.backend.steps import BackendStep, Close, Open

RULES = [rule for rule in PACKAGE_RULES if rule.clause == "PK-08"]
PAGE_BYTES = 12_000


def printed(output_bytes: int, *, starts: int, other_steps: int = 0) -> Docket:
    docket = Docket(RULES)
    case = docket.open(Header(kind="backend"), BackendModel())
    for command in [*[Open()] * starts, *[Close()] * other_steps]:
        docket.add(case, BackendStep(command=command))
    docket.end_process(output_bytes, b"loading")
    return docket


@pytest.mark.parametrize(
    ("starts", "other_steps", "broken"), [(20, 0, False), (0, 20, True), (10, 10, True), (15, 250, False)]
)
def test_a_page_is_allowed_for_a_start_and_for_nothing_else(
    starts: int, other_steps: int, broken: bool
) -> None:
    docket = printed(20 * PAGE_BYTES, starts=starts, other_steps=other_steps)
    assert docket.is_broken("PK-08") is broken


def test_the_allowance_of_one_process_is_not_carried_to_the_next() -> None:
    docket = printed(0, starts=20)
    assert not docket.is_broken("PK-08")
    docket.end_process(OUTPUT_BYTES + 1, b"")
    assert docket.is_broken("PK-08")
