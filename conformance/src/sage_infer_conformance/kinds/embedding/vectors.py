"""Vectors as they are recorded and compared."""

from __future__ import annotations

import base64
import math
from array import array
from collections.abc import Sequence
from functools import lru_cache

Vector = tuple[float, ...]

_UNIT_ROUND_OFF = {"fp32": 2.0**-24, "fp16": 2.0**-11, "bf16": 2.0**-8}
_REORDERED_SUMS = 64 * 16
"""Growth of the error when fp32 sums are taken in another order, as they are at another batch size: by the square
root of the summands (64 for 4096 of them) and of the operations one after the other (16 for 256: 64 layers of 4)."""
_ROUNDED_RESULTS = 16
"""The same where sums are kept in fp32 and only each operation's result is rounded: the operations alone."""
COARSEST = 0.1
"""For dtypes of 8 bits and fewer, whose scales may be those of the whole batch. Padding that is mixed into a short
text, or a neighbour's vector, is further away than that."""


def tolerance(precisions: Sequence[str]) -> float:
    """Return how far apart two vectors of one text may be, relative to their length, in the coarsest of the dtypes."""
    return max((_tolerance(dtype) for dtype in precisions), default=_tolerance("fp32"))


def _tolerance(dtype: str) -> float:
    round_off = _UNIT_ROUND_OFF.get(dtype)
    if round_off is None:
        return COARSEST
    return round_off * (_REORDERED_SUMS if dtype == "fp32" else _ROUNDED_RESULTS)


def distance(one: Vector, other: Vector) -> float:
    """Return the Euclidean distance, relative to the longer vector; infinite where they cannot be compared."""
    if len(one) != len(other) or not is_finite(one) or not is_finite(other):
        return math.inf
    longest = max(math.hypot(*one), math.hypot(*other))
    return math.dist(one, other) / longest if longest else 0.0


def is_finite(vector: Vector) -> bool:
    """Say whether every value is a finite number."""
    return all(map(math.isfinite, vector))


def pack(vector: object) -> str:
    """Return a vector as text, exactly: half the size where its values are those of fp32.

    Raises ``TypeError`` saying what it is when it is no sequence of numbers.
    """
    if not isinstance(vector, Sequence) or isinstance(vector, (str, bytes)):
        raise TypeError(f"a {type(vector).__name__} stands where a list of floats is due")
    strange = next(
        (value for value in vector if isinstance(value, bool) or not isinstance(value, (int, float))), None
    )
    if strange is not None or None in vector:
        raise TypeError(f"a {type(strange).__name__} stands where a float is due")
    wide = array("d", map(float, vector))
    try:
        narrow = array("f", wide)
    except OverflowError:
        narrow = array("f")
    if array("d", narrow) == wide:
        return "f4:" + base64.b64encode(narrow.tobytes()).decode()
    return "f8:" + base64.b64encode(wide.tobytes()).decode()


@lru_cache(maxsize=8192)
def unpack(packed: str) -> Vector:
    """Undo :func:`pack`."""
    values = array("f" if packed.startswith("f4:") else "d")
    values.frombytes(base64.b64decode(packed[3:]))
    return tuple(values)
