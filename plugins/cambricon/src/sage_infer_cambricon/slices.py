"""Slices of a card: virtual functions (SR-IOV, MIM) and quotas (sMLU)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from sage_infer_contracts.detecting.devices import Device
from sage_infer_contracts.detecting.ladder import Ladder

from .procfs import read_instances, read_parent

_VIRTUAL = "mode:vf"


def mark_slices(ladder: Ladder, devices: Sequence[Device]) -> list[Device]:
    """Say of which card a device is a slice, and of a card into how many slices it is split.

    A row of the tool with a number under VF is a slice of the card whose row has none; a virtual function is one of the
    card that sysfs names. Its own memory is what the tool measured, never a share of the card's.
    """
    instances = read_instances(ladder)
    wholes = {one.ids.index: one for one in devices if one.key is None and one.ids.index is not None}
    return [_marked(ladder, one, wholes, instances) for one in devices]


def _marked(
    ladder: Ladder, device: Device, wholes: Mapping[int, Device], instances: Mapping[int, list[int]]
) -> Device:
    if device.key is not None:
        parent = wholes.get(-1 if device.ids.index is None else device.ids.index)
        return attrs.evolve(device, slice_of=_name(parent))
    if _VIRTUAL in device.features and device.ids.bdf is not None:
        return attrs.evolve(device, slice_of=read_parent(ladder, device.ids.bdf))
    number = device.ids.minor if device.ids.minor is not None else device.ids.index
    split = instances.get(number, []) if number is not None else []
    if not split:
        return device
    return attrs.evolve(device, features=(*device.features, f"instances:{len(split)}"))


def _name(parent: Device | None) -> str | None:
    return None if parent is None else parent.ids.uuid or parent.ids.bdf
