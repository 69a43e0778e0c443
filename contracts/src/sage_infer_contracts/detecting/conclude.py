"""From devices and failures to a report: present, partial, unreadable or absent, each only with good reason (HD-01)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

from ..detection import DetectionReport
from ..devices import LinkProfile, MemoryTierSpec
from ..probe import PciDevice
from .devices import Device
from .ladder import Ladder

State = Literal["present", "absent", "unreadable", "partial"]


def conclude(
    hardware_backend: str,
    ladder: Ladder,
    cards: Sequence[PciDevice] | None,
    devices: Sequence[Device],
    *,
    links: Sequence[LinkProfile] = (),
    memory_tiers: Sequence[MemoryTierSpec] = (),
    lost: Collection[str] = (),
    somewhere: bool = False,
) -> DetectionReport:
    """Write the report.

    ``cards`` are the vendor's PCI functions (None: nobody can tell), ``devices`` what the sources showed, and ``lost``
    says in words what a source named and could not read. ``somewhere``: a source other than PCI, such as a device node
    or a driver's folder, says that the vendor's hardware is here.
    """
    reasons = [*ladder.failures, *lost]
    shown = {device.ids.bdf for device in devices if device.ids.bdf is not None}
    missing = [card.bdf for card in cards or () if card.bdf not in shown]
    if devices and missing and shown:
        reasons.append(f"on the bus and not shown by the tool: {', '.join(missing)}")
    state = _state(cards, devices, reasons, somewhere=somewhere, ladder=ladder)
    if state == "unreadable" and not reasons:
        reasons.append(_nothing_said(cards, ladder))
    return DetectionReport(
        hardware_backend=hardware_backend,
        state=state,
        reason=None if state in ("absent", "present") else "; ".join(reasons),
        accelerators=tuple(device.described(hardware_backend) for device in devices),
        links=tuple(links) if devices else (),
        memory_tiers=tuple(memory_tiers) if devices else (),
        steps=tuple(ladder.steps),
    )


def _state(
    cards: Sequence[PciDevice] | None,
    devices: Sequence[Device],
    reasons: Sequence[str],
    *,
    somewhere: bool,
    ladder: Ladder,
) -> State:
    if devices:
        return "partial" if reasons else "present"
    if cards is not None and not cards and not somewhere:
        return "absent"
    if cards or reasons or somewhere:
        return "unreadable"
    # Without PCI, only a look at everything else that found nothing is absence.
    return "unreadable" if any(step.outcome == "unknown" for step in ladder.steps) else "absent"


def _nothing_said(cards: Sequence[PciDevice] | None, ladder: Ladder) -> str:
    asked = (
        ", ".join(step.source for step in ladder.steps if step.outcome in ("absent", "unknown"))
        or "no source"
    )
    on_bus = f"{len(cards)} cards are on the bus; " if cards else ""
    return f"{on_bus}nothing shows the devices: {asked} not there or not known"
