"""What is known of a mutant: whose fault it has, and how that looks in the field."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module

import attrs

from sage_infer_contracts.testing import Subject, SubjectKind


@attrs.frozen(slots=True)
class Mutant:
    """A broken plugin. ``clause`` must be found violated by its own rule."""

    name: str
    clause: str
    fault: str
    subject: Subject


class Ward:
    """The mutants of one kind, in the order in which they are written down; all have the facts of ``base``."""

    def __init__(self, kind: SubjectKind, base: Subject | None = None) -> None:
        self.kind: SubjectKind = kind
        self._base = base
        self._mutants: dict[str, Mutant] = {}

    def add(
        self, clause: str, fault: str, **facts: str | int | float | bool | None
    ) -> Callable[[type], type]:
        """Register the class below as a mutant of ``clause``."""

        def register(made: type) -> type:
            name = made.__name__
            base = self._base or Subject(self.kind, made)
            subject = attrs.evolve(base, create=made, facts={**base.facts, **facts})
            self._mutants[name] = Mutant(name, clause, fault, subject)
            return made

        return register

    def __getattr__(self, name: str) -> Subject:
        """Return a mutant's subject, so that ``module:MUTANTS.NAME`` names it."""
        mutants = self.__dict__.get("_mutants", {})
        if name not in mutants:
            raise AttributeError(name)
        subject: Subject = mutants[name].subject
        return subject

    def __iter__(self) -> Iterator[Mutant]:
        return iter(self._mutants.values())


def ward_of(module: str) -> Ward:
    """Return the mutants of ``mutants.MODULE``."""
    ward: Ward = import_module(f"{__package__}.{module}").MUTANTS
    return ward
