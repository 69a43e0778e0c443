"""XPU_VISIBLE_DEVICES and CUDA_VISIBLE_DEVICES: what a process calls each device; and what a container was given."""

from __future__ import annotations

from collections.abc import Sequence

from sage_infer_contracts.detecting.devices import Device
from sage_infer_contracts.detecting.ladder import Ladder
from sage_infer_contracts.detecting.visible import number_as_runtime
from sage_infer_contracts.probe import PciDevice, Unknown

from .gate import Gate

VARIABLES = ("XPU_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES")
"""Vendor's runtime, and the CUDA look-alike that its torch build runs on."""
GIVEN = "CXPU_VISIBLE_DEVICES"
"""Which cards the container's runtime gave to it; other processes do not heed it."""


def numbered(ladder: Ladder, devices: Sequence[Device]) -> list[Device]:
    """Return the devices as a process numbers them, which nobody knows where the variables are not known.

    The runtime counts as the tool does, in the order of addresses.
    """
    answers = {name: ladder.probe.environ(name) for name in VARIABLES}
    values = {answer for answer in answers.values() if isinstance(answer, str)}
    if any(isinstance(answer, Unknown) for answer in answers.values()):
        return list(devices)
    if len(values) > 1:
        ladder.note(" and ".join(VARIABLES), "unknown", "they differ, and which one counts is not documented")
        return list(devices)
    indices = [one.ids.index for one in devices]
    by_index = None not in indices and len(set(indices)) == len(indices)
    return number_as_runtime(
        devices,
        next(iter(values), None),
        in_order_of=lambda one: one.ids.index if by_index else (one.ids.bdf or "", one.key or ""),
    )


def given(ladder: Ladder, gate: Gate, found: Sequence[Device]) -> tuple[PciDevice, ...] | None:
    """Return the cards that should be shown: in a container, where the bus has all of them, those it was given."""
    words = [word for word in (ladder.variable(GIVEN) or "").split(",") if word.strip()]
    if gate.usable is None or not found or len(words) != len(found) or words[0].strip() in ("all", "none"):
        return gate.usable
    shown = {one.ids.bdf for one in found}
    cards = tuple(card for card in gate.usable if card.bdf in shown)
    if len(cards) < len(gate.usable):
        ladder.note(GIVEN, "used", f"{len(gate.usable) - len(cards)} cards were not given to this container")
    return cards
