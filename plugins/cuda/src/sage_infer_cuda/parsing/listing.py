"""``nvidia-smi -L``: GPUs and, below each, its MIG devices. ``nvidia-smi nvlink -s`` heads its blocks the same way."""

from __future__ import annotations

import re

from sage_infer_contracts.detecting.devices import Device
from sage_infer_contracts.detecting.text import lines
from sage_infer_contracts.devices import DeviceIds

from .fields import product_name
from .records import Reading, Slice, distinct, distinct_slices, gpu_uuid, mig_uuid

_WHO = r"\(UUID:\s*([\w/?*.-]{1,60})\s*\)"
"""A UUID, which people mask before they publish it, and which a Jetson prints without ``GPU-``."""
_GPU = re.compile(rf"\s*GPU\s+([0-9]{{1,4}}):\s+(\S.{{0,90}}?)\s+{_WHO}", re.ASCII)
_MIG = re.compile(rf"\s*MIG\s+(?:(\S{{2,24}})\s+)?Device\s+([0-9]{{1,4}}):\s+{_WHO}", re.ASCII)
_INSTANCE = re.compile(r".*/([0-9]{1,3}/[0-9]{1,3})", re.ASCII)
_PROFILE = re.compile(r"(?:[0-9]c\.)?[0-9]g\.[0-9]{1,4}gb(?:\+\S{1,12})?(?:-me)?", re.ASCII)


def listed_gpu(line: str) -> Device | None:
    """Return the GPU of a line such as ``GPU 0: NVIDIA H200 (UUID: GPU-...)``; its UUID null where it is none."""
    match = _GPU.fullmatch(line)
    if match is None:
        return None
    return Device(ids=DeviceIds(index=int(match[1]), uuid=gpu_uuid(match[3])), name=product_name(match[2]))


def parse_list(text: str) -> Reading:
    """Read GPUs and MIG devices; a MIG device belongs to the GPU above it."""
    devices: list[Device] = []
    slices: list[Slice] = []
    for line in lines(text):
        device = listed_gpu(line)
        if device is not None:
            devices.append(device)
            continue
        mig = _MIG.fullmatch(line)
        if mig is None or not devices:
            continue
        instance = _INSTANCE.fullmatch(mig[3])
        profile = mig[1] if mig[1] and _PROFILE.fullmatch(mig[1]) else None
        slices.append(
            Slice(
                number=int(mig[2]),
                parent=devices[-1].ids,
                uuid=mig_uuid(mig[3]),
                profile=profile,
                instance=instance[1] if instance else None,
            )
        )
    return Reading(devices=distinct(devices), slices=distinct_slices(slices))
