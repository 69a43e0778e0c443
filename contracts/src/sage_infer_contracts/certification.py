"""What a conformance run leaves behind: a verdict per clause, with its evidence, as data."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from .backend import OptionValue
from .clauses import Level
from .wire import FrozenModel, WireModel

Proof = Literal["exact", "sampled", "timed", "stated"]
"""How a clause is shown. ``exact``: a counter-example would be certain; ``sampled``: as good as the cases that were
drawn; ``timed``: by a clock, with a margin; ``stated``: written down and not tested."""

Verdict = Literal["held", "violated", "refused", "waived", "thin", "error", "stated", "not_run"]
"""``held``: evaluated often enough, never broken. ``refused``: the capability is not declared, and the call answered
``Unsupported`` as it must. ``waived``: broken, and the plugin says so in its ``deviations.toml``. ``thin``: evaluated
less often than the floor, so nothing is claimed. ``error``: the subject crashed, hung or grew out of bounds.
``stated``: no rule tests it. ``not_run``: rules do, and this run could not, e.g. for want of the device."""

Mode = Literal["develop", "certify", "soak"]


class Witness(FrozenModel):
    """A history in which a clause was broken, and where."""

    scenario: str
    says: str = Field(description="what is wrong, in one sentence")
    step: NonNegativeInt = Field(description="index of the step at which it shows")
    story: tuple[str, ...] = Field(description="the steps up to there, one line each")
    history: tuple[str, ...] = Field(default=(), description="the same as JSON lines, for replay")


class ClauseResult(FrozenModel):
    """The verdict on one clause."""

    clause: str
    level: Level
    proof: Proof
    verdict: Verdict
    evaluations: NonNegativeInt = 0
    refusals: NonNegativeInt = 0
    floor: NonNegativeInt = 0
    reason: str | None = Field(
        default=None, description="why it is stated, not run, waived, thin or an error"
    )
    witness: Witness | None = None

    @property
    def passes(self) -> bool:
        """Whether a certificate can be given in spite of, or because of, this verdict."""
        return self.verdict in ("held", "refused", "waived", "stated", "not_run")


class SubjectFacts(FrozenModel):
    """What was judged."""

    name: str
    kind: str
    target: str = Field(description="module:attribute, or file:attribute")
    distribution: str | None = None
    version: str | None = None
    record_digest: str | None = Field(default=None, description="SHA-256 of the distribution's RECORD")
    capabilities: tuple[str, ...] = ()
    device: str = Field(default="simulated", description="device that took part; 'simulated' where none did")
    options: dict[str, OptionValue] = Field(
        default_factory=dict, description="what it was made with, the model of a backend among it"
    )


class RunProfile(FrozenModel):
    """How much was tried: what a run needs to be told to be done again."""

    mode: Mode
    histories: dict[str, PositiveInt] = Field(description="histories drawn for each scenario")
    rules: tuple[str, ...] = Field(
        default=(), description="clauses that were asked for; empty: all of the kind"
    )
    deviations: str | None = Field(default=None, description="the file of waivers that was in force")


class ConformanceReport(WireModel):
    """One run of the kit over one subject. Same seed, same verdicts and counts."""

    subject: SubjectFacts
    profile: RunProfile
    seed: NonNegativeInt
    command: str = Field(description="what to type to have the same again")
    results: tuple[ClauseResult, ...]
    problems: tuple[str, ...] = Field(
        default=(), description="why a run fails apart from its verdicts: bad waivers"
    )
    environment: dict[str, str] = Field(
        description="versions of the contract, the kit, Hypothesis and Python; host"
    )
    histories: NonNegativeInt = 0
    steps: NonNegativeInt = 0
    seconds: NonNegativeFloat = 0.0
    started_at: str = Field(description="UTC, ISO 8601")
    not_tested: tuple[str, ...] = Field(default=(), description="what this run says nothing about")

    @property
    def passed(self) -> bool:
        """Whether every clause passes and nothing else stands against it."""
        return not self.problems and all(result.passes for result in self.results)


class CertifiedClause(FrozenModel):
    """The verdict on one clause, as a certificate keeps it."""

    clause: str
    level: Level
    proof: Proof
    verdict: Verdict
    evaluations: NonNegativeInt = 0
    refusals: NonNegativeInt = 0
    floor: NonNegativeInt = 0
    reason: str | None = Field(default=None, description="why it is stated, not run or waived")


class Certificate(WireModel):
    """Given to a subject whose run in mode certify passed. Whoever doubts it runs it again and compares."""

    subject: SubjectFacts
    profile: RunProfile
    seed: NonNegativeInt
    command: str = Field(description="what to type to have the same again")
    results: tuple[CertifiedClause, ...]
    environment: dict[str, str] = Field(
        description="versions of the contract, the kit, Hypothesis and Python; host"
    )
    issued_at: str = Field(description="UTC, ISO 8601")
