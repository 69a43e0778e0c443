"""Variables such as CUDA_VISIBLE_DEVICES: which devices a process may use, and what its runtime calls them (HD-05)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from .devices import Device


def number_as_runtime(
    devices: Sequence[Device],
    value: str | None,
    *,
    in_order_of: Callable[[Device], object],
    uuids: bool = False,
    none_at_empty: bool = True,
) -> list[Device]:
    """Return ``devices`` with the logical id each has in a process where the variable is ``value``; None: not set.

    The runtime counts devices from 0 in the order of the key ``in_order_of``; the words of ``value`` are those numbers
    or, with ``uuids``, beginnings of UUIDs that fit one device. As in the runtimes, nothing counts from the first word
    on that names no device or one that was named before. ``none_at_empty``: an empty value hides all devices.
    """
    ordered = sorted(devices, key=in_order_of)  # type: ignore[arg-type]  # keys of one caller compare with each other
    if value is None or (not value.strip() and not none_at_empty):
        chosen = ordered
    else:
        chosen = _chosen(ordered, value, uuids=uuids)
    places = {id(device): number for number, device in enumerate(chosen)}
    return [
        attrs.evolve(device, ids=device.ids.model_copy(update={"logical": places.get(id(device))}))
        for device in devices
    ]


def _chosen(ordered: Sequence[Device], value: str, *, uuids: bool) -> list[Device]:
    chosen: list[Device] = []
    for word in (part.strip() for part in value.split(",")):
        named = [device for number, device in enumerate(ordered) if word == str(number)]
        if uuids and not named and word:
            named = [device for device in ordered if (device.ids.uuid or "").startswith(word)]
        if len(named) != 1 or any(named[0] is one for one in chosen):  # two may say the same and be two
            break
        chosen += named
    return chosen
