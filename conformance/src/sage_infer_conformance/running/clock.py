"""A clock that leaps: what has no clock of its own does not notice."""

from __future__ import annotations

import datetime
import itertools
import time
from collections.abc import Callable

_LEAP_S = 3600
_CLOCKS = ("time", "monotonic", "perf_counter")


def leap() -> None:
    """Make every reading of this process's clocks an hour later than the last would tell.

    Seen by whoever looks a clock up from now on, so this comes before a subject is imported.
    """
    readings = itertools.count(1)
    for name in _CLOCKS:
        setattr(time, name, _leaping(getattr(time, name), readings, _LEAP_S))
        nanoseconds = f"{name}_ns"
        setattr(time, nanoseconds, _leaping(getattr(time, nanoseconds), readings, _LEAP_S * 10**9))
    setattr(datetime, "datetime", _LeapingDatetime)  # noqa: B010 - a type checker refuses the plain assignment


def _leaping(real: Callable[[], float], readings: itertools.count[int], leap_by: int) -> Callable[[], float]:
    def reading() -> float:
        return real() + next(readings) * leap_by

    return reading


class _LeapingDatetime(datetime.datetime):
    """``datetime`` reads the system's clock without the module ``time``; this one asks ``time``."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> _LeapingDatetime:
        return cls.fromtimestamp(time.time(), tz)

    @classmethod
    def utcnow(cls) -> _LeapingDatetime:
        return cls.fromtimestamp(time.time(), datetime.UTC).replace(tzinfo=None)

    @classmethod
    def today(cls) -> _LeapingDatetime:
        return cls.now()
