"""Decisions drawn by Hypothesis: derandomised by a seed, shrinkable when asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed as with_seed, settings, strategies as st
from hypothesis.strategies import DataObject, SearchStrategy

from sage_infer_contracts.certification import Mode


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


class Broken(Exception):  # noqa: N818 - tells Hypothesis that the example is worth shrinking
    """Raised at the end of an example in which a rule was broken, in mode develop."""


def draw_examples(mode: Mode, seed: int, count: int, example: Callable[[HypothesisChoices], bool]) -> None:
    """Run ``example`` up to ``count`` times; it returns whether a rule was broken.

    In mode develop the first broken example is shrunk, and nothing follows it. The other modes only generate.
    """
    develop = mode == "develop"

    @with_seed(seed)
    @settings(
        max_examples=count,
        phases=(Phase.generate, Phase.shrink) if develop else (Phase.generate,),
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
    )
    @given(st.data())
    def examples(data: DataObject) -> None:
        if example(HypothesisChoices(data)) and develop:
            raise Broken

    try:
        examples()
    except Broken:
        pass
