"""Paired comparison of two arms: alternating rounds, median of the paired ratios, its interval, a verdict."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from statistics import median
from typing import Literal, TypeVar

import attrs

from benchmarks.measuring import Arm, PromptSource, Round, progress, run_round

RESAMPLES = 4000
COVERAGE = 0.95
MIN_REQUESTS = 4
"""Requests of a round at least; one request alone would make its times a matter of luck."""

_R = TypeVar("_R")
Verdict = Literal["within", "outside", "inside the noise"]


@attrs.frozen
class Point:
    """One load."""

    concurrency: int
    prompt_tokens: int

    @property
    def requests(self) -> int:
        """Requests of one round."""
        return max(MIN_REQUESTS, self.concurrency)


@attrs.frozen
class Measure:
    """One figure of a round."""

    name: str
    unit: str
    of: Callable[[Round], float]
    higher_is_better: bool = False

    def accepts(self, ratio: float, tolerance: float) -> bool:
        """Say whether ours is no more than ``tolerance`` (a share) worse than the baseline."""
        return ratio >= 1 - tolerance if self.higher_is_better else ratio <= 1 + tolerance


MEASURES = (
    Measure("throughput", "tok/s", lambda each: each.tokens_per_s, higher_is_better=True),
    Measure("TTFT", "ms", lambda each: each.ttft_ms),
    Measure("TPOT", "ms", lambda each: each.tpot_ms),
    Measure("CPU", "ms/tok", lambda each: each.cpu_ms_per_token),
)


@attrs.frozen
class Estimate:
    """A median and the interval that it lies in with ``COVERAGE`` probability, by bootstrap."""

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float], seed: int = 0) -> Estimate:
        """Estimate the median of ``values``; the same values give the same interval."""
        draw = random.Random(seed)
        medians = sorted(median(draw.choices(values, k=len(values))) for _ in range(RESAMPLES))
        cut = round(RESAMPLES * (1 - COVERAGE) / 2)
        return cls(median(values), medians[cut], medians[-1 - cut])

    def verdict(self, accepts: Callable[[float], bool], level: float) -> Verdict:
        """Judge against a target.

        The whole interval on the right side is "within"; one that is not and covers ``level``, where both arms are
        equal, proves nothing; otherwise the median decides.
        """
        if accepts(self.low) and accepts(self.high):
            return "within"
        if self.low <= level <= self.high:
            return "inside the noise"
        return "within" if accepts(self.middle) else "outside"


@attrs.frozen
class Comparison:
    """The rounds of both arms at one load; those of one index belong together."""

    point: Point
    ours: tuple[Round, ...]
    baseline: tuple[Round, ...]

    def ratio(self, measure: Measure) -> Estimate:
        """Return ours through baseline."""
        pairs = zip(self.ours, self.baseline, strict=True)
        return Estimate.of([measure.of(ours) / measure.of(baseline) for ours, baseline in pairs])


def in_turn(arms: tuple[_R, _R], repeat: int) -> tuple[_R, _R]:
    """Return who goes first and second: A B, B A, A B, so that neither always follows the other."""
    return arms if repeat % 2 == 0 else (arms[1], arms[0])


async def compare(
    ours: Arm, baseline: Arm, point: Point, *, repeats: int, prompts: PromptSource, output_tokens: int
) -> Comparison:
    """Run both arms ``repeats`` times at one load, after one round each that does not count."""
    rounds: dict[str, list[Round]] = {ours.name: [], baseline.name: []}
    for repeat in range(-1, repeats):
        for arm in in_turn((ours, baseline), repeat):
            texts = prompts.take(point.requests, point.prompt_tokens)
            done = await run_round(arm, texts, point.concurrency)
            if [request.tokens for request in done.requests] != [output_tokens] * point.requests:
                raise RuntimeError(f"{arm.name} did not serve {output_tokens} tokens of every request")
            label = "warm-up" if repeat < 0 else f"{repeat + 1}/{repeats}"
            progress(
                f"{point.concurrency:3d} x {point.prompt_tokens:5d}  {label:7s}  {arm.name:20s} "
                f"{done.tokens_per_s:8.1f} tok/s  TTFT {done.ttft_ms:8.1f} ms  TPOT {done.tpot_ms:7.2f} ms"
            )
            if repeat >= 0:
                rounds[arm.name].append(done)
    return Comparison(point, tuple(rounds[ours.name]), tuple(rounds[baseline.name]))
