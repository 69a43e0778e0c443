"""Every clause of the contract, and how this kit judges it: by a rule of some kind, or not at all and why."""

from __future__ import annotations

import inspect
import pkgutil
import re
from functools import cache
from importlib import import_module
from typing import Protocol

import attrs

from sage_infer_contracts.clauses import CLAUSES, Clause

from . import mutants
from .judging.package import PACKAGE_RULES
from .judging.rules import Rule, Stated
from .kinds.table import MODULES, suite_of
from .package_rules.recipe_rules import RECIPE_RULES
from .package_rules.rules import INSTALLED_RULES

EVERY_KIND = "every kind"
_LOOKS_AT = {
    "step": "each step",
    "history": "what a history leaves behind",
    "process": "what a process prints",
    "package": "the installed package",
    "recipe": "each recipe in the installed package",
}
_ROLE = re.compile(r":\w+:`~?([^`]+)`")
_LEADING_ID = re.compile(r"^[A-Z]{2}-\d\d[:.]?\s*")


class BrokenPlugin(Protocol):
    """What is told of a broken plugin, of one kind or of a package."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def clause(self) -> str:
        """The clause whose own rule must catch it."""
        ...

    @property
    def fault(self) -> str:
        """What is wrong with it."""
        ...


@attrs.frozen(slots=True)
class Entry:
    """How one clause is judged. ``by`` names the kind; a clause may be judged in several."""

    clause: Clause
    by: tuple[tuple[str, Rule | Stated], ...]

    @property
    def rules(self) -> tuple[tuple[str, Rule], ...]:
        """The rules, with the kind of each."""
        return tuple((kind, how) for kind, how in self.by if isinstance(how, Rule))

    @property
    def stated(self) -> tuple[tuple[str, Stated], ...]:
        """What no rule tests, with the kind and the reason of each."""
        return tuple((kind, how) for kind, how in self.by if isinstance(how, Stated))


def catalogue() -> dict[str, Entry]:
    """Return every clause, in the order of the contract."""
    found: dict[str, list[tuple[str, Rule | Stated]]] = {clause: [] for clause in CLAUSES}
    for kind in MODULES:
        suite = suite_of(kind)
        judged: list[Rule | Stated] = [*suite.rules, *suite.stated]
        for how in judged:
            found[how.clause].append((kind, how))
    for rule in (*PACKAGE_RULES, *INSTALLED_RULES, *RECIPE_RULES):
        found[rule.clause].append((EVERY_KIND, rule))
    return {clause: Entry(CLAUSES[clause], tuple(by)) for clause, by in found.items()}


def mutants_of(clause: str) -> list[tuple[str, BrokenPlugin]]:
    """Return the broken plugins that the rule of ``clause`` must catch, with the kind of each."""
    return [(kind, mutant) for kind, broken in _collections() for mutant in broken if mutant.clause == clause]


@cache
def _collections() -> tuple[tuple[str, tuple[BrokenPlugin, ...]], ...]:
    """Return every collection of broken plugins once; a large one is filled by several modules."""
    modules = pkgutil.iter_modules(mutants.__path__, f"{mutants.__name__}.")
    imported = [import_module(module.name) for module in modules]
    found = {id(module.MUTANTS): module.MUTANTS for module in imported if hasattr(module, "MUTANTS")}
    return tuple((getattr(broken, "kind", EVERY_KIND), tuple(broken)) for broken in found.values())


def how_judged(rule: Rule) -> str:
    """Return what the rule looks at, from its docstring; empty where it says no more than the clause's id."""
    text = " ".join(inspect.cleandoc(rule.judge.__doc__ or "").split())
    said = _ROLE.sub(r"`\1`", _LEADING_ID.sub("", text)).replace("``", "`")
    return said[:1].upper() + said[1:]


def looks_at(rule: Rule) -> str:
    """Return what one evaluation of the rule looks at."""
    return _LOOKS_AT[rule.of]
