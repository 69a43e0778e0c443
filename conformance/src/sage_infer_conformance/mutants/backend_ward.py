"""Where broken backends are registered; each theme has a module of its own."""

from __future__ import annotations

from collections.abc import Callable

from ..kinds.backend.reference.backend import ReferenceBackend
from ..kinds.backend.reference.engine import Engine
from ..kinds.backend.reference.subject import LEASE_OPTION
from .mutant import Ward

MUTANTS = Ward("backend")


def backend(clause: str, fault: str) -> Callable[[type[ReferenceBackend]], type]:
    """Register the backend below as a mutant of ``clause``."""
    return MUTANTS.add(clause, fault, lease_option=LEASE_OPTION)


def engine(clause: str, fault: str) -> Callable[[type[Engine]], type]:
    """Register a backend with the engine below."""

    def register(made: type[Engine]) -> type:
        whole = type(made.__name__, (ReferenceBackend,), {"engine_type": made, "__doc__": made.__doc__})
        backend(clause, fault)(whole)
        return made

    return register
