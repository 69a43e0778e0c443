"""Parts of cards: instances of cards in mode MIG, and virtual DCUs of a host and of a container."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

import attrs

from sage_infer_contracts.detecting.devices import Device
from sage_infer_contracts.detecting.ladder import Ladder
from sage_infer_contracts.devices import DeviceIds

from .parsing.instances import parse_instance
from .parsing.virtual import Share, VirtualDevice, parse_share

REGISTRY = "/etc/dmi_mig_config/ci"
SHARES = "/etc/vdev/docker"
"""Where a container has the files ``vdevN.conf`` of its virtual DCUs."""
_FILE = re.compile(r"dev([0-9]{1,4})gi([0-9]{1,4})ci([0-9]{1,4})\.conf", re.ASCII)
_SHARE = re.compile(r"vdev([0-9]{1,4})\.conf", re.ASCII)


def read_instances(ladder: Ladder, devices: Sequence[Device], cut: Collection[int]) -> list[Device]:
    """Return the instances of the devices whose rows are in ``cut``, those that the tool says are in mode MIG.

    The registry says who an instance is; its memory and load only Hygon's library says, so they are unknown here.
    """
    if not cut:
        return []
    by_row = {device.ids.index: device for device in devices if device.ids.index in cut}
    by_address = {device.ids.bdf: device for device in by_row.values() if device.ids.bdf is not None}
    found = []
    for name in ladder.folder(REGISTRY):
        numbers = _FILE.fullmatch(name)
        instance = parse_instance(ladder.file(f"{REGISTRY}/{name}") or "") if numbers else None
        if numbers is None or instance is None:
            continue
        parent = by_address.get(instance.bdf) if instance.bdf else by_row.get(int(numbers[1]))
        if parent is not None and (owner := parent.ids.uuid or parent.ids.bdf) is not None:
            ids = DeviceIds(uuid=instance.uuid)
            found.append(_part(parent, ids, f"gi{numbers[2]}ci{numbers[3]}", owner))
    ladder.note(REGISTRY, "used" if found else "absent", f"{len(found)} instances")
    return found


def made_shares(devices: Sequence[Device], shares: Sequence[VirtualDevice]) -> list[Device]:
    """Return the virtual DCUs that a host has made, as its tool lists them: part of the card with that row."""
    parents = {device.ids.index: device for device in devices}
    return [
        attrs.evolve(
            _part(parent, DeviceIds(), f"vdev{share.number}", parent.ids.uuid or parent.ids.bdf or row),
            memory_total_bytes=share.memory_bytes,
            compute_units=share.compute_units,
        )
        for share in shares
        for parent in (parents.get(share.actual, Device()),)
        for row in (f"HCU[{share.actual}]",)
    ]


def with_shares(ladder: Ladder, devices: Sequence[Device]) -> list[Device]:
    """Return ``devices``, each card of which this container has a part only as that part.

    The tools go on to show the whole card there; what the runtime gives is what the file says.
    """
    shares: dict[str, Share] = {}
    for name in ladder.folder(SHARES):
        share = parse_share(ladder.file(f"{SHARES}/{name}") or "") if _SHARE.fullmatch(name) else None
        if share is not None:
            shares.setdefault(share.bdf, share)
    if not shares:
        return list(devices)
    ladder.note(SHARES, "used", f"{len(shares)} virtual DCUs")
    return [_shared(one, shares[one.ids.bdf]) if one.ids.bdf in shares else one for one in devices]


def _shared(device: Device, share: Share) -> Device:
    """The card's load and used memory are those of all who share it, and its figures those of the whole."""
    return attrs.evolve(
        device,
        ids=device.ids.model_copy(update={"uuid": None}),
        slice_of=device.ids.uuid or share.bdf,
        memory_total_bytes=share.memory_bytes,
        memory_used_bytes=None,
        utilisation_percent=None,
        compute_units=share.compute_units,
        figures=tuple(
            (name, figure)
            for name, figure in device.figures
            if name != "memory_used_percent" and not name.startswith("spec_")
        ),
    )


def _part(parent: Device, ids: DeviceIds, key: str, owner: str) -> Device:
    return Device(
        ids=ids,
        key=key,
        name=parent.name,
        chip=parent.chip,
        slice_of=owner,
        numa_node=parent.numa_node,
        driver_version=parent.driver_version,
        dtypes=parent.dtypes,
        features=parent.features,
    )
