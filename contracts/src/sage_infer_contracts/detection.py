"""HardwareDetector: says what one vendor's hardware is present, from a probe alone."""

from __future__ import annotations

from typing import Literal, Protocol, Self

from pydantic import Field, model_validator

from .devices import AcceleratorDescriptor, HostCpu, LinkProfile, MemoryTierSpec, NumaNode
from .names import HardwareName
from .probe import Probe
from .wire import FrozenModel, WireModel


class DetectionStep(FrozenModel):
    """One rung of the probe ladder, with its outcome."""

    source: str = Field(description="pci, library, tool or child process, and which")
    outcome: Literal["used", "absent", "failed", "skipped", "unknown"]
    detail: str = ""


class DetectionReport(WireModel):
    """What a detector found. A driver error is ``unreadable``, not ``absent`` (HD-01)."""

    hardware_backend: HardwareName
    state: Literal["present", "absent", "unreadable", "partial"]
    reason: str | None = Field(default=None, description="required unless present or absent")
    accelerators: tuple[AcceleratorDescriptor, ...] = ()
    links: tuple[LinkProfile, ...] = ()
    memory_tiers: tuple[MemoryTierSpec, ...] = ()
    host: HostCpu | None = None
    numa_nodes: tuple[NumaNode, ...] = ()
    steps: tuple[DetectionStep, ...] = ()

    @model_validator(mode="after")
    def _state_agrees(self) -> Self:
        if self.state == "absent" and self.accelerators:
            raise ValueError("a detector that found accelerators cannot report 'absent'")
        if self.state in ("unreadable", "partial") and not self.reason:
            raise ValueError(f"state {self.state!r} needs a reason")
        return self


class HardwareDetector(Protocol):
    """Returned by the ``sage_infer_detector`` hook. The host runs each one in a child with a deadline (HD-07)."""

    @property
    def hardware_backend(self) -> str:
        """The one hardware name this detector reports."""
        ...

    def detect(self, probe: Probe) -> DetectionReport:
        """Look at the machine through ``probe`` and nothing else.

        HD-01: MUST report present, absent, unreadable with a reason, or partial; a driver error is not absence, nor
        is what the probe cannot tell; devices lost to a failing source MUST NOT be passed over as present.
        HD-02: MUST be pure on recorded sources and MUST NOT import torch or a vendor SDK in this process.
        HD-03: MUST NOT claim another vendor's device; PCI vendor and class decide.
        HD-04: malformed, truncated, widened, noisy or localised output MUST NOT raise nor invent a device.
        HD-05: ids MUST be kept apart and visible-device variables honoured.
        HD-06: every figure MUST be measured or carry its source; unknown is null; JSON round-trips.
        HD-07: MUST end within its deadline.
        """
        ...
