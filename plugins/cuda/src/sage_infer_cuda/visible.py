"""CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER: what the CUDA runtime of a process calls each device, as documented.

Sources: CUDA Programming Guide, "CUDA Environment Variables", and NVIDIA's MIG User Guide. In words:

- GPUs are counted fastest first by default, by a heuristic nobody documents, and by PCI address if CUDA_DEVICE_ORDER is
  ``PCI_BUS_ID``. Between GPUs of one product the heuristic has nothing to tell apart, so these too are in PCI order;
  where products differ the order is unknown, and so is what a number in the list names.
- The list has such numbers, or beginnings of UUIDs that fit one GPU. From the first word on that names none, nothing
  counts; a word that names a device again empties the list (``torch.cuda`` parses it so too).
- A process uses one MIG device: the one whose UUID comes first, or else the first one of the one GPU it may use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from sage_infer_contracts.detecting.devices import Device

from .parsing.fields import mig_enabled

DEVICES = "CUDA_VISIBLE_DEVICES"
ORDER = "CUDA_DEVICE_ORDER"
BY_ADDRESS = "PCI_BUS_ID"


def numbered(devices: Sequence[Device], value: str | None, order: str | None) -> list[Device]:
    """Return ``devices`` with their logical ids, None for those that are hidden or whose number nobody can know.

    ``value`` and ``order`` are the variables; None: not set.
    """
    gpus = [one for one in devices if not _is_mig(one)]
    slices = {_who(gpu): [one for one in devices if _is_mig(one) and _parent(one, gpu)] for gpu in gpus}
    if value is None:
        chosen = _counted(gpus, order)
    elif not value.strip():
        chosen = []
    else:
        chosen = _named(devices, gpus, [word.strip() for word in value.split(",")], order)
    numbers = _numbers(chosen or [], slices)
    return [
        attrs.evolve(one, ids=one.ids.model_copy(update={"logical": numbers.get(id(one))})) for one in devices
    ]


def _is_mig(device: Device) -> bool:
    return device.key is not None and device.key.startswith("mig")


def _who(device: Device) -> tuple[str | None, str | None, int | None]:
    return (device.ids.uuid, device.ids.bdf, device.ids.index)


def _parent(one: Device, gpu: Device) -> bool:
    return one.slice_of is not None and one.slice_of in (gpu.ids.uuid, gpu.ids.bdf)


def _counted(gpus: Sequence[Device], order: str | None) -> list[Device] | None:
    """Return GPUs in the runtime's order; None where it is not known."""
    if len(gpus) == 1:
        return list(gpus)
    same = len({one.name for one in gpus}) == 1 and gpus[0].name is not None
    if any(one.ids.bdf is None for one in gpus) or not (same or order == BY_ADDRESS):
        return None
    return sorted(gpus, key=lambda one: one.ids.bdf or "")


def _named(
    devices: Sequence[Device], gpus: Sequence[Device], words: Sequence[str], order: str | None
) -> list[Device] | None:
    chosen: list[Device] = []
    for word in words:
        if word.upper().startswith(("GPU-", "MIG-")):
            found = _by_uuid(devices, word)
        else:
            counted = _counted(gpus, order)
            if counted is None:
                return None
            found = [one for number, one in enumerate(counted) if word == str(number)]
        if len(found) != 1:
            break
        if any(found[0] is one for one in chosen):
            return []
        chosen += found
    return chosen


def _by_uuid(devices: Sequence[Device], word: str) -> list[Device]:
    prefix = word.lower()
    full = [one for one in devices if (one.ids.uuid or "").lower() == prefix]
    found = full or [one for one in devices if (one.ids.uuid or "").lower().startswith(prefix)]
    if found or "/" not in word:
        return found
    gpu, _, instance = prefix.removeprefix("mig-").partition("/")
    return [
        one
        for one in devices
        if (one.slice_of or "").lower() == gpu and _is_mig(one) and _instance(one) == instance
    ]


def _instance(one: Device) -> str:
    return (one.key or "").rpartition(" ")[2]


def _numbers(
    chosen: Sequence[Device], slices: Mapping[tuple[str | None, str | None, int | None], list[Device]]
) -> dict[int, int]:
    if any(_is_mig(one) for one in chosen):
        return {id(chosen[0]): 0} if _is_mig(chosen[0]) else {}
    divided = [one for one in chosen if slices.get(_who(one)) or mig_enabled(one)]
    if not divided:
        return {id(one): number for number, one in enumerate(chosen)}
    if len(chosen) > 1:
        return {}  # nobody documents what comes first among whole GPUs and MIG devices
    return {id(one): 0 for one in slices[_who(divided[0])][:1]}
