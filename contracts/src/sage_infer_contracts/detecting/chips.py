"""Specifications of chips as data: each number with its source; what no citable source says is null (HD-06)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources.abc import Traversable
from typing import Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from ..devices import Figure
from ..errors import InvalidRequest
from ..names import DType
from ..wire import FrozenModel

UNITS: Mapping[str, str] = {
    "fp32": "TFLOP/s",
    "tf32": "TFLOP/s",
    "fp16": "TFLOP/s",
    "bf16": "TFLOP/s",
    "fp8": "TFLOP/s",
    "fp4": "TFLOP/s",
    "int8": "TOP/s",
    "memory": "MiB",
    "memory_bandwidth": "GB/s",
    "interconnect_bandwidth": "GB/s",
    "compute_units": "1",
    "clock": "MHz",
    "power": "W",
}
"""Figures that a chip may have, and their units. Rates are dense; interconnects count one direction."""


class SpecFigure(FrozenModel):
    """One number of a specification. ``value`` null: no citable source has it, and ``source`` says what was sought."""

    value: float | None = Field(default=None, gt=0)
    source: str = Field(min_length=1)
    confidence: Literal["high", "medium", "low"] = "low"
    per: Literal["die", "chip", "board"] = "chip"


class Formula(FrozenModel):
    """How a rate follows from others: ``compute_units * operations_per_cycle * clock``."""

    figure: str
    operations_per_cycle: float = Field(gt=0, description="of one compute unit")
    source: str = Field(min_length=1)


class ChipSpec(FrozenModel):
    """One chip, by the names that tools report it under."""

    name: str
    matches: tuple[str, ...] = Field(
        default=(), description="regular expressions, matched in full and without case, of the reported name"
    )
    pci_devices: tuple[str, ...] = Field(default=(), description="PCI device ids, lower-case hex")
    figures: Mapping[str, SpecFigure] = Field(default_factory=dict)
    formulas: tuple[Formula, ...] = ()
    dtypes: tuple[DType, ...] = Field(default=(), description="that it computes in, where a source says so")
    dtypes_source: str = ""
    dies: int = Field(default=1, ge=1, description="devices that one board shows")
    notes: str = ""

    @field_validator("matches")
    @classmethod
    def _compile(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            try:
                re.compile(pattern, re.IGNORECASE)  # as ``Chips.find`` does, which then finds it compiled
            except re.error as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}") from error
        return patterns

    @model_validator(mode="after")
    def _known_and_consistent(self) -> Self:
        unknown = sorted(set(self.figures) - set(UNITS))
        if unknown:
            raise ValueError(f"{self.name}: unknown figures {', '.join(unknown)}; known: {', '.join(UNITS)}")
        if self.dtypes and not self.dtypes_source:
            raise ValueError(f"{self.name}: dtypes need dtypes_source")
        for formula in self.formulas:
            self._require_holds(formula)
        return self

    def _require_holds(self, formula: Formula) -> None:
        names = (formula.figure, "compute_units", "clock")
        values = [self.figures[name].value if name in self.figures else None for name in names]
        stated, units, clock_mhz = values
        if stated is None or units is None or clock_mhz is None:
            raise ValueError(f"{self.name}: a formula for {formula.figure} needs it, compute_units and clock")
        derived = units * formula.operations_per_cycle * clock_mhz * 1e6 / 1e12
        if abs(derived - stated) > 0.01 * stated:
            raise ValueError(
                f"{self.name}: {formula.figure} is {stated}, and its formula gives {derived:.1f}"
            )

    def described(self) -> tuple[tuple[str, Figure], ...]:
        """Return what is known as figures of a device, named ``spec_...`` so that none is taken for a measurement."""
        return tuple(
            (
                f"spec_{name}",
                Figure(
                    value=one.value, unit=UNITS[name], source=f"per {one.per}, {one.confidence}: {one.source}"
                ),
            )
            for name, one in self.figures.items()
            if one.value is not None
        )


class Chips(FrozenModel):
    """The file ``chips.json`` of a vendor's plugin."""

    chips: tuple[ChipSpec, ...]

    def find(self, name: str | None, pci_device: str | None = None) -> ChipSpec | None:
        """Return the chip with this reported name, or else this PCI device id."""
        reported = (name or "").strip()
        for chip in self.chips:
            if any(re.fullmatch(pattern, reported, re.IGNORECASE) for pattern in chip.matches):
                return chip
        return next((chip for chip in self.chips if pci_device in chip.pci_devices), None)


def read_chips(file: Traversable) -> Chips:
    """Read ``chips.json``; raises ``InvalidRequest`` with what is wrong in it."""
    try:
        return Chips.model_validate_json(file.read_bytes())
    except (ValueError, ValidationError) as error:
        raise InvalidRequest(f"{file.name} is no list of chips: {error}", param="chips") from error
