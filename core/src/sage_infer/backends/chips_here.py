"""Which chips a launch will use, asked of the detector of its hardware."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sage_infer_contracts.detection import HardwareDetector
from sage_infer_contracts.devices import AcceleratorDescriptor

if TYPE_CHECKING:
    from sage_infer.plugins import Registry


def chips_here(hardware: str, device_ids: Sequence[int], registry: Registry) -> tuple[str | None, ...]:
    """Return the name of each device's chip in its vendor's list; None for one that nobody names.

    Runs the detectors of ``hardware``, each in its child process; blocks while they look.
    """
    from sage_infer.hal.detect import run_detector

    accelerators = [
        accelerator
        for found in registry.hooks.detectors()
        if _detects(found.value, hardware)
        for accelerator in run_detector(found.ref, hardware)[0].report.accelerators
    ]
    return chips_of(accelerators, device_ids)


def _detects(detector: HardwareDetector, hardware: str) -> bool:
    try:
        return detector.hardware_backend == hardware
    except Exception:  # noqa: BLE001  # boundary: a property of a foreign object, which is no reason not to launch
        return False


def chips_of(
    accelerators: Sequence[AcceleratorDescriptor], device_ids: Sequence[int]
) -> tuple[str | None, ...]:
    """Return the chips of the devices that the runtime calls ``device_ids``, without repetition.

    Where no source knows what the runtime calls them, they are told only if all are of one chip.
    """
    kinds = {accelerator.chip for accelerator in accelerators}
    if len(kinds) == 1:
        return tuple(kinds)
    by_number = {one.ids.logical: one.chip for one in accelerators if one.ids.logical is not None}
    return tuple(dict.fromkeys(by_number.get(number) for number in device_ids))
