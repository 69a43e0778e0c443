"""Finds, makes and uses a subject for a few steps, whatever its kind, and notes where what ran came from."""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import Distribution
from typing import Any

import attrs

from sage_infer_contracts.errors import SageInferError
from sage_infer_contracts.testing import SubjectKind

from ..history.steps import Command, Raised, Step
from ..kinds.suite import Play
from ..kinds.table import suite_of
from ..running.names import FullName
from ..running.subjects import Found, find_subject
from .facts import Origin, Use
from .frameworks import HEAVY_MODULES
from .hiding import watch_misses
from .metadata import driver_group
from .owners import origin_of_class, origin_of_module

_STEPS = 12
"""Enough to make a subject and to ask the first things of it."""


class _Enough(BaseException):
    """Ends a scenario early; no subject and no scenario catches it."""


class _Drawn:
    """Choices of a seeded generator: always the same."""

    def __init__(self) -> None:
        self._random = random.Random(0)

    def integer(self, low: int, high: int) -> int:
        """Return a number in ``[low, high]``."""
        return self._random.randint(low, high)

    def chance(self, percent: int) -> bool:
        """Return True in about ``percent`` of the cases."""
        return self._random.randrange(100) < percent

    def one_of(self, options: Sequence[Any]) -> Any:
        """Return one item."""
        return options[self._random.randrange(len(options))]

    def weighted(self, options: Mapping[str, int]) -> str:
        """Return one key, by its weight."""
        return self._random.choices(list(options), list(options.values()))[0]


class _Maker:
    """Calls a subject's factory and remembers what the first call made."""

    def __init__(self, create: Any) -> None:
        self._create = create
        self.made: type | None = None

    def __call__(self, *args: object, **options: object) -> object:
        made = self._create(*args, **options)
        if self.made is None:
            self.made = type(made)
        return made


def use_once(subject: str, kind: SubjectKind, *, trace: bool = False) -> Use:
    """Use a subject as the first scenario of its kind begins, up to the first error; ``trace`` what ran."""
    missed = watch_misses()
    try:
        found = find_subject(subject, kind)
    except SageInferError as error:
        cause = error.__cause__ or error
        return Use(refusal=Raised.of(cause), missing=missed.names())
    maker = _Maker(found.subject.create)
    try:
        steps, error_of_step = _play(
            attrs.evolve(found, subject=attrs.evolve(found.subject, create=maker)), subject
        )
    finally:
        sys.meta_path.remove(missed)
    use = Use(error=error_of_step, steps=steps, missing=missed.names(), heavy=_heavy())
    return use.model_copy(update=_origins(found, maker.made, FullName.read(subject).bare)) if trace else use


def _play(found: Found, name: str) -> tuple[int, Raised | None]:
    """Return how many steps were done and the error that ended them, if one did."""
    suite = suite_of(found.subject.kind)
    model = suite.make_model()
    driver = suite.make_driver(found.subject, name)
    done: list[Step] = []

    def do(command: Command) -> Step:
        step: Step = driver.execute(command)
        model.apply(step)
        done.append(step)
        if step.error is not None or len(done) == _STEPS:
            raise _Enough
        return step

    try:
        with contextlib.suppress(_Enough):
            suite.scenarios[0].play(Play(_Drawn(), model, do))
    finally:
        driver.close()
    return len(done), done[-1].error if done else None


def _heavy() -> tuple[str, ...]:
    return tuple(sorted(HEAVY_MODULES & {name.partition(".")[0] for name in sys.modules}))


def _origins(found: Found, made: type | None, bare: str) -> dict[str, Origin | str | None]:
    if found.distribution is None:
        return {}
    judged = found.distribution.name
    return {
        "module": origin_of_module(found.target.partition(":")[0].strip(), judged),
        "made": None if made is None else origin_of_class(made, judged),
        "unlike_driver": None if made is None else _unlike_driver(found, found.distribution, made, bare),
    }


def _unlike_driver(found: Found, distribution: Distribution, made: type, bare: str) -> str | None:
    """Compare what the subject made with the driver class that the same distribution publishes under the name."""
    group, name = driver_group(found.subject.kind), bare.rpartition(":")[2]
    for point in distribution.entry_points:
        if (point.group, point.name) == (group, name) and point.value != found.target:
            driver = point.load()
            if isinstance(driver, type) and not issubclass(made, driver):
                return (
                    f"the subject makes {made.__qualname__}, and the driver {name!r} is {driver.__qualname__}"
                )
    return None
