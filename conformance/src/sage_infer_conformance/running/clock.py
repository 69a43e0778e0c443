"""A clock that leaps: what has no clock of its own does not notice."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

_LEAP_S = 3600


def leap() -> None:
    """Make every reading of this process's wall and monotonic clock an hour later than the last would tell."""
    readings = itertools.count(1)
    for name in ("time", "monotonic"):
        setattr(time, name, _leaping(getattr(time, name), readings, _LEAP_S))
        nanoseconds = f"{name}_ns"
        setattr(time, nanoseconds, _leaping(getattr(time, nanoseconds), readings, _LEAP_S * 10**9))


def _leaping(real: Callable[[], float], readings: itertools.count[int], leap_by: int) -> Callable[[], float]:
    def reading() -> float:
        return real() + next(readings) * leap_by

    return reading
