"""CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER, as NVIDIA documents them."""

from __future__ import annotations

import attrs
import pytest

from sage_infer_contracts.probe import ProbeRecording
from sage_infer_cuda.detector import CudaDetector
from sage_infer_cuda.simulated.gpus import Gpu, divided, gpus
from sage_infer_cuda.simulated.machines import machine
from sage_infer_cuda.visible import DEVICES, ORDER

FOUR = gpus(4)
UUIDS = [gpu.uuid for gpu in FOUR]
MIXED = [*gpus(1), attrs.evolve(gpus(2)[1], name="NVIDIA L40S")]
MIG = divided()


def logical(recording: ProbeRecording, value: str | None, order: str | None = None) -> list[int | None]:
    """Return the logical ids, GPUs in the order of their addresses and each one's MIG devices behind it."""
    environment = {**recording.environment, DEVICES: value, ORDER: order}
    report = CudaDetector().detect(recording.model_copy(update={"environment": environment}).replay())
    return [one.ids.logical for one in report.accelerators]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, [0, 1, 2, 3]),
        ("", [None] * 4),
        ("2,1", [None, 1, 0, None]),
        ("0,2,-1,1", [0, None, 1, None]),
        ("0,9,1", [0, None, None, None]),
        ("0,0", [None] * 4),
        ("NoDevFiles", [None] * 4),
        (" 3 , 0 ", [1, None, None, 0]),
        (f"{UUIDS[3]},{UUIDS[0]}", [1, None, None, 0]),
        (UUIDS[2][:12], [None, None, 0, None]),
        ("GPU-", [None] * 4),
        (f"{UUIDS[1]},GPU-ffffffff,{UUIDS[0]}", [None, 0, None, None]),
    ],
)
def test_the_list_means_something_else(value: str | None, expected: list[int | None]) -> None:
    assert logical(machine(FOUR, "library"), value) == expected


@pytest.mark.parametrize(
    ("value", "order", "expected"),
    [
        (None, None, [None, None]),
        ("0", None, [None, None]),
        (MIXED[1].uuid, None, [None, 0]),
        (None, "FASTEST_FIRST", [None, None]),
        (None, "PCI_BUS_ID", [0, 1]),
        ("1", "PCI_BUS_ID", [None, 0]),
    ],
)
def test_an_order_that_nobody_knows_is_guessed(
    value: str | None, order: str | None, expected: list[int | None]
) -> None:
    assert logical(machine(MIXED, "csv"), value, order) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, [None, 0, None, None]),
        ("0", [None, 0, None, None]),
        (MIG.uuid, [None, 0, None, None]),
        (MIG.migs[2].uuid(MIG), [None, None, None, 0]),
        (f"MIG-{MIG.uuid}/3/0", [None, None, 0, None]),
        ("1", [None] * 4),
    ],
)
def test_a_process_uses_another_mig_device(value: str | None, expected: list[int | None]) -> None:
    assert logical(machine([MIG], "library"), value) == expected


def test_a_gpu_in_mig_mode_without_mig_devices_is_used() -> None:
    empty: Gpu = attrs.evolve(MIG, migs=())
    assert logical(machine([empty], "csv"), None) == [None]


def test_numbers_are_given_where_the_variable_is_not_known() -> None:
    recording = machine(FOUR, "csv").model_copy(update={"environment": {}})
    report = CudaDetector().detect(recording.replay())
    assert {one.ids.logical for one in report.accelerators} == {None}
