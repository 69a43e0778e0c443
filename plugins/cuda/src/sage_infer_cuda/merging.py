"""Readings of several sources put together: GPUs by identity, MIG devices by their GPU and number."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from sage_infer_contracts.detecting.devices import Device, merged
from sage_infer_contracts.devices import DeviceIds
from sage_infer_contracts.probe import PciDevice

from .lookalikes import PRODUCTS
from .parsing.fields import mig_enabled
from .parsing.records import Reading, Slice


@attrs.define(slots=True)
class Found:
    """What is known so far. ``cards`` are NVIDIA's functions on the bus; None: nobody can tell."""

    cards: Sequence[PciDevice] | None
    gpus: list[Device] = attrs.field(factory=list)
    slices: list[Slice] = attrs.field(factory=list)

    @property
    def missing(self) -> list[str]:
        """Return the addresses of cards that no source has shown."""
        shown = {gpu.ids.bdf for gpu in self.gpus}
        return [card.bdf for card in self.cards or () if card.bdf not in shown]

    @property
    def enough(self) -> bool:
        """Whether every card is there, or, where PCI is not known, any."""
        return bool(self.gpus) and not self.missing

    def lacks(self, fact: str) -> bool:
        """Say whether a GPU is in MIG mode and none of its MIG devices is known with its ``fact``, e.g. ``uuid``."""
        described = [one for one in self.slices if getattr(one, fact)]
        divided = [gpu for gpu in self.gpus if mig_enabled(gpu)]
        return any(not any(_of(one, gpu) for one in described) for gpu in divided)

    def add(self, reading: Reading) -> None:
        """Take a reading in. What the first source says of a device stands, and others fill in what it left out.

        A later source shows another GPU only where PCI has one that was not shown: a row that cannot be matched is
        no device more.
        """
        own = [one for one in reading.devices if self._is_own(one)]
        first = not self.gpus
        if first and self.cards is not None and len({one.ids.bdf for one in own} | {None}) == 1:
            own = own if len(own) <= len(self.cards) else []
            if len(own) == len(self.cards) == 1:
                own = [_at(own[0], self.cards[0].bdf)]
        if first:
            self.gpus = own
        else:
            self.gpus = merged(self.gpus, own)
            missing = set(self.missing)
            self.gpus += [one for one in own if one.ids.bdf in missing]
        self._add_slices(reading.slices)

    def _is_own(self, device: Device) -> bool:
        if PRODUCTS.fullmatch(device.name or ""):
            return False
        if self.cards is None:
            return True
        return device.ids.bdf is None or device.ids.bdf in {card.bdf for card in self.cards}

    def _add_slices(self, slices: Sequence[Slice]) -> None:
        divided = [
            gpu for gpu in self.gpus if mig_enabled(gpu) or not any(_of(one, gpu) for one in self.slices)
        ]
        for fresh in slices:
            gpu = next((one for one in self.gpus if _of(fresh, one)), None)
            if gpu is None:
                continue
            fresh = attrs.evolve(fresh, parent=gpu.ids)
            at = [n for n, one in enumerate(self.slices) if one.number == fresh.number and _of(one, gpu)]
            if at:
                self.slices[at[0]] = _filled(self.slices[at[0]], fresh)
            elif any(gpu is one for one in divided):
                self.slices.append(fresh)

    def fill(self, devices: Sequence[Device]) -> None:
        """Fill in what another source knows of the GPUs that were found, e.g. a name that the table cut short."""
        filled = merged(self.gpus, devices)
        named = {one.ids.bdf: one.name for one in devices}
        self.gpus = [
            attrs.evolve(one, name=named.get(one.ids.bdf) or one.name)
            if (one.name or "").endswith("...")
            else one
            for one in filled
        ]

    def slices_of(self, gpu: Device) -> list[Slice]:
        """Return the GPU's MIG devices in the order of their numbers."""
        return sorted((one for one in self.slices if _of(one, gpu)), key=lambda one: one.number)

    def devices(self) -> list[Device]:
        """Return GPUs, each with its MIG devices behind it."""
        return [
            one
            for gpu in self.gpus
            for one in (gpu, *(_device(part, gpu, self.gpus) for part in self.slices_of(gpu)))
        ]


def identity(gpu: Device, gpus: Sequence[Device]) -> str | None:
    """Return what stands for a GPU.

    It is its UUID, its PCI address where others say they have the same UUID, or the tool's own label where neither is
    known.
    """
    same = [one for one in gpus if one.ids.uuid == gpu.ids.uuid]
    unique = gpu.ids.uuid if len(same) == 1 else None
    label = None if gpu.ids.index is None else f"GPU{gpu.ids.index}"
    return unique or gpu.ids.bdf or label or gpu.ids.uuid


def _at(device: Device, bdf: str) -> Device:
    return attrs.evolve(device, ids=device.ids.model_copy(update={"bdf": bdf}))


def _of(one: Slice, gpu: Device) -> bool:
    """Say whether a slice is the GPU's, by the best identity that both have."""
    for name in ("bdf", "uuid", "index"):
        mine, its = getattr(one.parent, name), getattr(gpu.ids, name)
        if mine is not None and its is not None:
            return bool(mine == its)
    return False


def _filled(one: Slice, other: Slice) -> Slice:
    fresh = {field.name: getattr(other, field.name) for field in attrs.fields(Slice)}
    return attrs.evolve(one, **{name: value for name, value in fresh.items() if getattr(one, name) is None})


def _device(one: Slice, gpu: Device, gpus: Sequence[Device]) -> Device:
    profile = f" {one.profile}" if one.profile else ""
    return Device(
        ids=DeviceIds(uuid=one.uuid, bdf=gpu.ids.bdf),
        key=f"mig {one.number} {one.instance or ''}".rstrip(),
        name=f"{gpu.name or 'GPU'} MIG{profile}",
        memory_total_bytes=one.memory_total_bytes,
        memory_used_bytes=one.memory_used_bytes,
        compute_units=one.compute_units,
        numa_node=gpu.numa_node,
        driver_version=gpu.driver_version,
        slice_of=identity(gpu, gpus),
        health=gpu.health,
        health_reason=gpu.health_reason,
        dtypes=gpu.dtypes,
        features=(f"mig_device:{one.number}", *((f"mig_instance:{one.instance}",) if one.instance else ())),
    )
