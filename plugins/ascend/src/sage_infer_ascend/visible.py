"""ASCEND_RT_VISIBLE_DEVICES: which NPUs a process may use, and what its runtime calls them (HD-05)."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from sage_infer_contracts.detecting.devices import Device
from sage_infer_contracts.detecting.visible import number_as_runtime

from .devices import chip_id

VARIABLE = "ASCEND_RT_VISIBLE_DEVICES"
"""Logic ids. ASCEND_VISIBLE_DEVICES is another: it tells a container's runtime which physical NPUs to hand in."""


def numbered(devices: Sequence[Device], value: str | None) -> list[Device]:
    """Return ``devices`` with the number each has in a process where the variable is ``value``; None: not set.

    The words of the variable are logic ids as the tool tells them or, where it does not tell all, places in the order
    of NPU and chip.
    """
    told = [device.ids.logical for device in devices]
    if None in told or len(set(told)) != len(told):
        return number_as_runtime(devices, value, in_order_of=_order)
    if value is None:
        return list(devices)
    chosen: list[int] = []
    for word in (part.strip() for part in value.split(",")):
        named = [number for number in told if word == str(number)]
        if not named or named[0] in chosen:
            break
        chosen += [number for number in named if number is not None]
    places = {number: place for place, number in enumerate(chosen)}
    return [
        attrs.evolve(
            device, ids=device.ids.model_copy(update={"logical": places.get(device.ids.logical or 0)})
        )
        for device in devices
    ]


def _order(device: Device) -> tuple[int, int, int, str]:
    ids = device.ids
    return (
        ids.physical if ids.physical is not None else 0,
        ids.index if ids.index is not None else 0,
        chip_id(device) or 0,
        ids.bdf or "",
    )
