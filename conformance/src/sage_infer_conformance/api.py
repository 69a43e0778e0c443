"""The public face: ``certify("my-policy")`` in an author's own test suite, and ``examine`` for everything else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import attrs

from sage_infer_contracts.backend import OptionValue
from sage_infer_contracts.certification import ConformanceReport, Mode
from sage_infer_contracts.testing import SubjectKind

from .reports.build import build_report, check_rules
from .reports.story import full_story
from .running.names import FullName
from .running.replay import Witnesses
from .running.session import Order, Progress, run
from .running.soak import soak
from .waivers import find_deviations, weigh


def certify(
    name: str,
    *,
    kind: SubjectKind | None = None,
    mode: Mode = "certify",
    seed: int = 0,
    options: Mapping[str, OptionValue] | None = None,
) -> ConformanceReport:
    """Judge the subject called ``name`` and return the report; raises ``AssertionError`` that tells what is broken.

    ``name`` is what the command line takes: a plugin, ``distribution:name``, ``module:attribute`` or
    ``./file.py:attribute``. ``options`` are passed to the subject's factory. Raises an error of the family when the
    subject cannot be found or imported.
    """
    full = FullName.read(name)
    subject = str(attrs.evolve(full, options={**full.options, **(options or {})}))
    report = examine(Order(subject, kind=kind, mode=mode, seed=seed))
    if not report.passed:
        raise AssertionError(full_story(report))
    return report


def examine(
    order: Order,
    *,
    deviations: Path | None = None,
    corpus: Path | None = None,
    progress: Progress = lambda _: None,
) -> ConformanceReport:
    """Judge one subject as ordered, weigh its waivers, and return the report.

    ``corpus`` is the folder in which mode soak keeps what it finds. Raises an error of the family when there is
    nothing to judge: the subject is not found or does not load, or the order is not one.
    """
    if order.rules:
        check_rules(order)
    outcome = soak(order, corpus, progress) if order.mode == "soak" else run(order, progress)
    file = deviations or find_deviations(outcome.facts)
    name = str(attrs.evolve(FullName.read(order.subject), kind=outcome.facts.kind))
    waiving = weigh(file, Witnesses(name)) if file is not None else None
    return build_report(outcome, order, waiving=waiving, deviations=deviations)
