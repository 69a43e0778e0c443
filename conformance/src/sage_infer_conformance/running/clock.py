"""A clock that leaps: what has no clock of its own does not notice."""

from __future__ import annotations

import datetime
import random
import time
from collections.abc import Callable

_CLOCKS = ("time", "monotonic", "perf_counter")
_STEPS_S = (0, 0, 0, 1, 60, 3600)
"""How far a reading may be ahead of what the last one would tell. Some are not: if all ages grew alike, their order
would stay, and with it what a policy makes of them."""


class _Leaps:
    """How far all clocks are ahead by now; grows at every reading."""

    def __init__(self) -> None:
        self._drawn = random.Random(0)
        self._ahead_s = 0

    def next_s(self) -> int:
        """Leap, and return the sum of all leaps."""
        self._ahead_s += self._drawn.choice(_STEPS_S)
        return self._ahead_s


def leap() -> None:
    """Make this process's clocks leap by up to an hour at every reading.

    Seen by whoever looks a clock up from now on, so this comes before a subject is imported.
    """
    leaps = _Leaps()
    for name in _CLOCKS:
        setattr(time, name, _leaping(getattr(time, name), leaps, 1))
        nanoseconds = f"{name}_ns"
        setattr(time, nanoseconds, _leaping(getattr(time, nanoseconds), leaps, 10**9))
    setattr(datetime, "datetime", _LeapingDatetime)  # noqa: B010 - a type checker refuses the plain assignment


def _leaping(real: Callable[[], float], leaps: _Leaps, units_per_s: int) -> Callable[[], float]:
    def reading() -> float:
        return real() + leaps.next_s() * units_per_s

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
