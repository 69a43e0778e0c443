"""What a device's features are: ECC, how it is shared out, its board and the state of its links."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from sage_infer_contracts.detecting.devices import Device

from .parsing.records import Card

_WORSE = ("failed", "degraded")


def with_features(
    devices: Sequence[Device], cards: Sequence[Card], ports: Mapping[int, tuple[int, int]]
) -> list[Device]:
    """Return the devices with their features, from all that ``cards`` of any source say of them.

    ``ecc`` is on where errors are counted; ``mode:full`` and the like are as printed; ``mlulink:4/6`` are enabled
    ports; ``board:N`` is the same for devices of one board, which only a shared serial number tells, never the order
    of cards. The serial number itself is not reported: it is of no use to a scheduler and names somebody's property.
    """
    said = [_cards_of(device, cards) for device in devices]
    serials = [next((card.serial for card in own if card.serial), None) for own in said]
    shared = [serial for serial in dict.fromkeys(serials) if serial and serials.count(serial) > 1]
    found = []
    for device, own, serial in zip(devices, said, serials, strict=True):
        features = [feature for card in own for feature in card.features()]
        features += [f"board:{shared.index(serial)}"] if serial in shared else []
        index = device.ids.index
        if index is not None and index in ports and device.key is None:
            features.append(f"mlulink:{ports[index][0]}/{ports[index][1]}")
        found.append(attrs.evolve(device, features=tuple(dict.fromkeys(features))))
    return found


def with_worst_health(devices: Sequence[Device], cards: Sequence[Card]) -> list[Device]:
    """Return the devices, those that one source calls well as another one of ``cards`` calls them, if worse."""
    found = []
    for device in devices:
        ill = sorted(
            (card for card in _cards_of(device, cards) if card.health in _WORSE),
            key=lambda card: _WORSE.index(card.health),
        )
        if device.health == "ok" and ill:
            device = attrs.evolve(device, health=ill[0].health, health_reason=ill[0].health_reason)
        found.append(device)
    return found


def _cards_of(device: Device, cards: Sequence[Card]) -> list[Card]:
    """Return what sources say of this device: by its address, or its number in the tool where they give no address."""
    return [
        card
        for card in cards
        if card.key == device.key
        and (
            card.bdf == device.ids.bdf
            if card.bdf is not None and device.ids.bdf is not None
            else card.index is not None and card.index == device.ids.index
        )
    ]
