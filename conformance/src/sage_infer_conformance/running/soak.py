"""Mode soak: new seeds for as long as there is time, and a corpus of the histories that broke a rule."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import attrs

from sage_infer_contracts.errors import InvalidRequest

from ..history.files import read_histories
from ..judging.docket import Docket
from ..kinds.table import suite_of
from ..package_rules.stage import judge_package
from .names import FullName
from .replay import replay
from .session import Order, Outcome, Progress, ask, derive_seed, docket_of, play

DEFAULT_S = 300.0
_TURNS_A_ROUND = 4
"""How many turns of a scenario draw as many histories as mode certify does."""
_KEPT_PER_CLAUSE = 32
"""A subject that is broken in every round would fill the disk."""


def soak(order: Order, corpus: Path | None = None, progress: Progress = lambda _: None) -> Outcome:
    """Replay the corpus, then play scenario after scenario, each time with a new seed, until the time is over.

    The seeds follow from ``order.seed``. What breaks a rule is added to ``corpus``.
    """
    began = time.monotonic()
    until = began + (order.seconds if order.seconds is not None else DEFAULT_S)
    facts = ask(order)
    suite = suite_of(facts.kind)  # type: ignore[arg-type]  # the child validated it
    outcome = Outcome(facts, suite, docket_of(suite, is_installed=facts.distribution is not None))
    if corpus is not None:
        _replay_corpus(corpus, outcome, order.subject, progress)
    if order.judges_package():
        judge_package(outcome.docket, order.subject, facts)
    for number, turn in enumerate(_turns(order, list(order.histories(suite)))):
        left = until - time.monotonic()
        if left <= 0 or _enough(order, outcome.docket):
            break
        found = Outcome(facts, suite, docket_of(suite))
        play(attrs.evolve(turn, seconds=left), found, _numbered(progress, number))
        outcome.docket.absorb(found.docket)
        if corpus is not None:
            _grow(corpus, found.docket)
    outcome.seconds = time.monotonic() - began
    return outcome


def _turns(order: Order, scenarios: list[str]) -> Iterator[Order]:
    """Yield orders without end, one scenario each, so that a short time reaches all of them."""
    percent = max(1, order.examples_percent // _TURNS_A_ROUND)
    for number in itertools.count():
        name = scenarios[number % len(scenarios)]
        seed = derive_seed(order.seed, "soak", number)
        yield attrs.evolve(order, scenarios=(name,), seed=seed, examples_percent=percent)


def _enough(order: Order, docket: Docket) -> bool:
    return order.until_broken is not None and docket.is_broken(order.until_broken)


def _numbered(progress: Progress, number: int) -> Progress:
    return lambda text: progress(f"turn {number + 1}: {text}")


def _replay_corpus(corpus: Path, outcome: Outcome, subject: str, progress: Progress) -> None:
    files = sorted(corpus.glob("*.jsonl"))
    name = str(attrs.evolve(FullName.read(subject), kind=outcome.facts.kind))
    for number, file in enumerate(files, start=1):
        progress(f"corpus {number} of {len(files)}")
        histories = list(read_histories(file))
        kind = histories[0].header.kind
        if kind != outcome.suite.kind:
            raise InvalidRequest(
                f"{file} is of kind {kind}, and the subject is of kind {outcome.suite.kind}", param="corpus"
            )
        outcome.docket.absorb(replay(histories, name))


def _grow(corpus: Path, docket: Docket) -> None:
    corpus.mkdir(parents=True, exist_ok=True)
    for result in docket.results(floors=False):
        if result.witness is None or not result.witness.history:
            continue
        text = "\n".join(result.witness.history) + "\n"
        # Times of single steps differ from run to run; a file is named for what was asked.
        digest = hashlib.sha256("\n".join(result.witness.story).encode()).hexdigest()[:12]
        if len(list(corpus.glob(f"{result.clause}-*.jsonl"))) < _KEPT_PER_CLAUSE:
            (corpus / f"{result.clause}-{digest}.jsonl").write_text(text, encoding="utf-8")
