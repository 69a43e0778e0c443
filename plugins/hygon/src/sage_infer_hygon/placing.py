"""Which of the cards on the bus each device is that the tools show."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from sage_infer_contracts.detecting.devices import Device, merged
from sage_infer_contracts.devices import DeviceIds
from sage_infer_contracts.probe import PciDevice

from .readings import from_card


@attrs.frozen(slots=True)
class Placed:
    """Devices, the cards that they are, and what the tools and the bus say differently, in words."""

    devices: tuple[Device, ...]
    shown: tuple[PciDevice, ...] | None
    lost: tuple[str, ...] = ()


def place(devices: Sequence[Device], cards: Sequence[PciDevice] | None) -> Placed:
    """Join devices with cards at the same address.

    A tool that prints no addresses numbers its cards in an order of its own, so a device without one is joined only
    where a single card is left. Otherwise it gets what all of the cards that are left have in common.
    """
    if cards is None or not devices:
        return Placed(tuple(devices), None if cards is None else tuple(cards))
    joined = merged(devices, [from_card(card) for card in cards])
    there = {one.ids.bdf for one in joined}
    left = [card for card in cards if card.bdf not in there]
    without = [one for one in joined if one.ids.bdf is None]
    if len(left) == len(without) == 1:
        joined = [one.with_more(from_card(left[0])) if one is without[0] else one for one in joined]
        return Placed(tuple(joined), tuple(cards))
    if len(without) > len(left):
        lost = f"the tools show {len(without)} without an address, where the bus has room for {len(left)}"
        kept = tuple(one for one in joined if one.ids.bdf is not None)
        return Placed(
            kept, tuple(card for card in cards if card.bdf in there) if kept else tuple(cards), (lost,)
        )
    common = _common(left)
    joined = [one.with_more(common) if one.ids.bdf is None else one for one in joined]
    return Placed(
        tuple(joined), tuple(card for card in cards if card.bdf in there), _not_shown(left, without)
    )


def _common(cards: Sequence[PciDevice]) -> Device:
    """Return what every one of these cards is: its chip, and its NUMA node where they share one."""
    if len({card.device for card in cards}) != 1:
        return Device()
    nodes = {card.numa_node for card in cards}
    one = from_card(cards[0])
    return attrs.evolve(one, ids=DeviceIds(), numa_node=one.numa_node if len(nodes) == 1 else None)


def _not_shown(left: Sequence[PciDevice], without: Sequence[Device]) -> tuple[str, ...]:
    if len(left) == len(without):
        return ()
    addresses = ", ".join(card.bdf for card in left)
    if not without:
        return (f"on the bus and not shown by the tools: {addresses}",)
    return (f"{len(left) - len(without)} of these on the bus are not shown by the tools: {addresses}",)
