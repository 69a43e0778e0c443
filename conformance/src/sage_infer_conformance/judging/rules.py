"""A rule: a pure function of the model before a step and the step, one for each clause that is tested."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, Literal, Protocol, TypeVar

import attrs

from sage_infer_contracts.certification import Proof
from sage_infer_contracts.clauses import CLAUSES, Clause


@attrs.frozen(slots=True)
class Check:
    """One evaluation of a rule: held, broken (``says`` tells how), or rightly refused."""

    says: str | None = None
    refused: bool = False


HELD: Final = Check()
REFUSED: Final = Check(refused=True)
"""The capability is not declared, and the call raised ``Unsupported``."""


def broken(says: str) -> Check:
    """Return the finding that the clause is broken."""
    return Check(says)


def check(holds: bool, says: str) -> Check:
    """Return :data:`HELD`, or what is wrong."""
    return HELD if holds else Check(says)


class Model(Protocol):
    """What must be true of a subject after the steps so far, kept without asking it."""

    def apply(self, step: Any) -> None:
        """Take a step into account."""
        ...


M = TypeVar("M")
S = TypeVar("S")
Judge = Callable[[M, S], Iterable[Check]]


@attrs.frozen(slots=True)
class Rule:
    """How one clause is judged. ``floor``: evaluations below which certify claims nothing."""

    clause: str
    proof: Proof
    floor: int
    judge: Judge[Any, Any]
    of: Literal["step", "history", "process", "package", "recipe"] = "step"
    """What it looks at: each step, what a history left behind, what a process printed, the installed package, or the
    recipes in it, of which a package without any claims nothing."""
    counts: Literal["checks", "steps"] = "checks"
    """What an evaluation is: each finding; or each step that was judged, where how requests happened to meet decides
    which findings a step allows, so that the same seed still gives the same counts."""
    since: str = "1.0"

    @property
    def promise(self) -> Clause:
        """The clause, with its text."""
        return CLAUSES[self.clause]


@attrs.frozen(slots=True)
class Stated:
    """A clause, or a part of one, that no rule tests, or that was not run, and why."""

    clause: str
    reason: str
    verdict: Literal["stated", "not_run"] = "stated"
