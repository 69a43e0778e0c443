"""Decisions drawn by Hypothesis: derandomised by a seed, shrinkable when asked."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed as with_seed, settings, strategies as st
from hypothesis.errors import Flaky
from hypothesis.internal.conjecture import providers
from hypothesis.strategies import DataObject, SearchStrategy

from sage_infer_contracts.certification import Mode

_ATTEMPTS = 20
"""How often a scenario begins anew with a subject that contradicts itself."""


@lru_cache(maxsize=4096)
def _integers(low: int, high: int) -> SearchStrategy[int]:
    return st.integers(low, high)


class HypothesisChoices:
    """Draws from one example of Hypothesis."""

    def __init__(self, data: DataObject) -> None:
        self._data = data

    def integer(self, low: int, high: int) -> int:
        """Return a number in ``[low, high]``."""
        return self._data.draw(_integers(low, high))

    def chance(self, percent: int) -> bool:
        """Return True in about ``percent`` of the cases; shrinks to False."""
        return self.integer(0, 99) >= 100 - percent

    def one_of(self, options: Sequence[Any]) -> Any:
        """Return one item of a non-empty sequence."""
        return options[self.integer(0, len(options) - 1)]

    def weighted(self, options: Mapping[str, int]) -> str:
        """Return one key, by its weight; shrinks to the first."""
        drawn = self.integer(0, sum(options.values()) - 1)
        for name, weight in options.items():
            if drawn < weight:
                return name
            drawn -= weight
        raise AssertionError("weights are positive")


class Broken(Exception):
    """Raised at the end of an example in which a rule was broken, in mode develop."""


def ignore_local_constants() -> None:
    """Keep Hypothesis from drawing numbers that it read in the source of modules near the subject.

    It does so for one draw in twenty, which would make what is drawn depend on the subject's source and on how it was
    installed. Hypothesis has no setting for it; where its internals differ from those known here, it goes on as before.
    """
    if hasattr(providers, "_get_local_constants") and hasattr(providers, "_local_constants"):
        nothing = providers._local_constants  # empty until the first draw
        providers._get_local_constants = lambda: nothing


def draw_examples(mode: Mode, seed: int, count: int, example: Callable[[HypothesisChoices], bool]) -> None:
    """Run ``example`` up to ``count`` times; it returns whether a rule was broken.

    In mode develop the first broken example is shrunk, and nothing follows it. The other modes only generate, and
    begin anew where a subject that answers the same question differently led Hypothesis astray.
    """
    ignore_local_constants()
    develop = mode == "develop"
    drawn = 0

    def draw(attempt: int) -> None:
        @with_seed(seed + attempt)
        @settings(
            max_examples=count - drawn,
            phases=(Phase.generate, Phase.shrink) if develop else (Phase.generate,),
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
            print_blob=False,
        )
        @given(st.data())
        def examples(data: DataObject) -> None:
            nonlocal drawn
            drawn += 1
            if example(HypothesisChoices(data)) and develop:
                raise Broken

        examples()

    for attempt in range(_ATTEMPTS):
        with contextlib.suppress(Broken, Flaky):
            draw(attempt)
            return
        if develop or drawn >= count:
            return
