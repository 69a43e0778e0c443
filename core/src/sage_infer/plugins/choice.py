"""Automatic choice: hooks propose drivers, one rule decides, and the whole decision is kept as data."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from sage_infer_contracts.devices import HardwareProfile
from sage_infer_contracts.errors import PluginError, PluginNotFound
from sage_infer_contracts.kinds import PluginKind
from sage_infer_contracts.plugins import Proposal

from . import loading
from .catalog import PluginEntry, Problem
from .hooks import FromPlugin
from .registry import Registry


@attrs.frozen(slots=True)
class Candidate:
    """One driver that was considered. ``score`` is None when nobody proposed it; ``rejected`` says why it lost out."""

    name: str
    distribution: str | None
    score: float | None
    reason: str
    proposed_by: str | None
    rejected: str | None = None

    @property
    def _rank(self) -> tuple[float, str, str, str]:
        score = -1.0 if self.score is None else self.score
        return (-score, self.distribution or "", self.name, self.proposed_by or "")


@attrs.frozen(slots=True)
class Explanation:
    """A choice and how it came about: every candidate, best first; ``chosen`` is the first not rejected, or None."""

    kind: PluginKind
    candidates: tuple[Candidate, ...]
    problems: tuple[Problem, ...] = ()

    @property
    def chosen(self) -> Candidate | None:
        """The driver that won."""
        return next((candidate for candidate in self.candidates if candidate.rejected is None), None)

    def require(self) -> Candidate:
        """Return the winner; raises ``PluginNotFound`` that names each candidate and why it cannot be taken."""
        if self.chosen is not None:
            return self.chosen
        listed = "; ".join(f"{candidate.name}: {candidate.rejected}" for candidate in self.candidates)
        raise PluginNotFound(
            f"no {self.kind.value} can be chosen automatically ({listed or 'none is installed'}); name one",
            kind=self.kind.value,
        )


def explain(registry: Registry, kind: PluginKind, profile: HardwareProfile) -> Explanation:
    """Ask all hooks and rank what they propose: by score, then distribution, then name. Loads no driver."""
    before = len(registry.hooks.problems)
    proposed = [_judge(registry, kind, proposal) for proposal in registry.hooks.proposals(kind, profile)]
    for candidate in proposed:
        if candidate.rejected is not None:
            registry.hooks.record(_problem(kind, candidate))
    silent = _unproposed(registry.entries(kind), proposed)
    ranked = sorted([*proposed, *silent], key=lambda candidate: candidate._rank)
    return Explanation(kind, tuple(ranked), registry.hooks.problems[before:])


def _judge(registry: Registry, kind: PluginKind, source: FromPlugin[Proposal]) -> Candidate:
    proposal = source.value
    by = f"{source.ref.distribution}:{source.ref.name}"
    try:
        entry = registry.find(kind, proposal.name)
    except PluginError as error:
        return Candidate(proposal.name, None, proposal.score, proposal.reason, by, rejected=str(error))
    rejected = None
    try:
        loading.check_floor(entry)
    except PluginError as error:
        rejected = str(error)
    return Candidate(entry.name, entry.distribution, proposal.score, proposal.reason, by, rejected)


def _problem(kind: PluginKind, candidate: Candidate) -> Problem:
    text = f"{candidate.proposed_by} proposes {kind.value} {candidate.name!r}: {candidate.rejected}"
    return Problem("proposal_rejected", text, candidate.distribution, kind, candidate.name)


def _unproposed(entries: Iterable[PluginEntry], proposed: Iterable[Candidate]) -> list[Candidate]:
    known = {(candidate.distribution, candidate.name) for candidate in proposed}
    return [
        Candidate(entry.name, entry.distribution, None, "installed", None, rejected="no hook proposed it")
        for entry in entries
        if (entry.distribution, entry.name) not in known
    ]
