"""Names with a meaning to everybody: hardware backends, dtypes, instance types.

This list of reserved hardware names is the only place in contracts and core where a vendor is named.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator

RESERVED_HARDWARE_NAMES: frozenset[str] = frozenset(
    {"cuda", "ascend", "cambricon", "hygon", "kunlunxin", "cpu"}
)
"""Only the project's own plugins may claim these; the set of hardware names itself is open."""

_NAME = re.compile(r"^[a-z][a-z0-9]*([_-][a-z0-9]+)*$")


def check_plugin_name(name: str) -> str:
    """Return ``name`` if it is a legal plugin or hardware name, else raise ValueError."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is not a plugin name: lower-case letters, digits, '-' and '_', starting with a letter"
        )
    return name


HardwareName = Annotated[str, AfterValidator(check_plugin_name)]
"""An open, validated hardware name; see :data:`RESERVED_HARDWARE_NAMES`."""

DType = Literal["fp32", "fp16", "bf16", "fp8_e4m3", "fp8_e5m2", "int8", "int4"]
DTYPE_BITS: dict[str, int] = {
    "fp32": 32,
    "fp16": 16,
    "bf16": 16,
    "fp8_e4m3": 8,
    "fp8_e5m2": 8,
    "int8": 8,
    "int4": 4,
}
"""Bits of one stored element."""


class InstanceType(StrEnum):
    """What an execution instance serves: the union of the spellings in the two design documents.

    ``prefill``/``PREFILLING``, ``decode``/``DECODING`` and ``hybrid``/``HYBRID`` name the same role;
    :meth:`parse` accepts either spelling.
    """

    GENERAL = "general"
    PREFILL = "prefill"
    DECODE = "decode"
    EMBEDDING = "embedding"
    HYBRID = "hybrid"
    LLM_EMBEDDING = "llm_embedding"
    ATTENTION = "attention"
    FFN = "ffn"

    @classmethod
    def parse(cls, text: str) -> InstanceType:
        """Accept any of the three historical spellings, in any case."""
        spelling = text.lower()
        return cls({"prefilling": "prefill", "decoding": "decode"}.get(spelling, spelling))


class Phase(StrEnum):
    """Phase of one request. ``FILL`` runs tokens 2..k+1 where the KV already lives (k=0: none)."""

    PREFILL = "prefill"
    FILL = "fill"
    DECODE = "decode"
