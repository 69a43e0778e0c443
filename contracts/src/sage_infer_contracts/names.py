"""Names with a meaning to everybody: hardware backends, dtypes, instance types."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator

from .kinds import RESERVED_HARDWARE_NAMES as RESERVED_HARDWARE_NAMES, check_plugin_name as check_plugin_name

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
