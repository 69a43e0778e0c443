"""The labels of ``nvidia-smi -q`` and its XML, as paths, and the fields that they are."""

from __future__ import annotations

from collections.abc import Mapping

from sage_infer_contracts.detecting.text import size_bytes, whole
from sage_infer_contracts.devices import DeviceIds

from .health import UNCORRECTED
from .records import Slice, mig_uuid

Path = tuple[str, ...]

LABELS: Mapping[Path, str] = {
    ("product name",): "name",
    ("gpu uuid",): "uuid",
    ("minor number",): "minor_number",
    ("pci", "bus id"): "pci.bus_id",
    ("fb memory usage", "total"): "memory.total",
    ("fb memory usage", "used"): "memory.used",
    ("utilization", "gpu"): "utilization.gpu",
    ("mig mode", "current"): "mig.mode.current",
    ("ecc mode", "current"): "ecc.mode.current",
    ("ecc errors", "volatile", "double bit", "total"): f"{UNCORRECTED}.total",
    ("ecc errors", "volatile", "sram uncorrectable"): f"{UNCORRECTED}.sram",
    ("ecc errors", "volatile", "sram uncorrectable parity"): f"{UNCORRECTED}.sram.parity",
    ("ecc errors", "volatile", "sram uncorrectable sec-ded"): f"{UNCORRECTED}.sram.secded",
    ("ecc errors", "volatile", "dram uncorrectable"): f"{UNCORRECTED}.dram",
    ("ecc errors", "aggregate", "sram threshold exceeded"): "sram_threshold_exceeded",
    ("ecc errors", "channel repair pending"): "channel_repair_pending",
    ("ecc errors", "tpc repair pending"): "tpc_repair_pending",
    ("ecc errors", "unrepairable memory"): "unrepairable_memory",
    ("retired pages", "pending page blacklist"): "retired_pages.pending",
    ("remapped rows", "pending"): "remapped_rows.pending",
    ("remapped rows", "remapping failure occurred"): "remapped_rows.failure",
    ("gpu recovery action",): "gpu_recovery_action",
    ("gpu reset status", "reset required"): "reset_required",
    ("gpu reset status", "drain and reset recommended"): "drain_and_reset_recommended",
    ("fan speed",): "fan.speed",
    ("temperature", "gpu current temp"): "temperature.gpu",
    **{
        (section, label): f"clocks_event_reasons.{field}"
        for section in ("clocks event reasons", "clocks throttle reasons")
        for label, field in (("hw slowdown", "hw_slowdown"),)
    },
    **{
        (section, "hw slowdown", label): f"clocks_event_reasons.{field}"
        for section in ("clocks event reasons", "clocks throttle reasons")
        for label, field in (
            ("hw thermal slowdown", "hw_thermal_slowdown"),
            ("hw power brake slowdown", "hw_power_brake_slowdown"),
        )
    },
}
"""Paths of ``-q`` in lower case, and the fields that they are."""

ELEMENTS: Mapping[Path, str] = {
    ("product_name",): "name",
    ("uuid",): "uuid",
    ("minor_number",): "minor_number",
    ("pci", "pci_bus_id"): "pci.bus_id",
    ("fb_memory_usage", "total"): "memory.total",
    ("fb_memory_usage", "used"): "memory.used",
    ("utilization", "gpu_util"): "utilization.gpu",
    ("mig_mode", "current_mig"): "mig.mode.current",
    ("ecc_mode", "current_ecc"): "ecc.mode.current",
    ("ecc_errors", "volatile", "double_bit", "total"): f"{UNCORRECTED}.total",
    ("ecc_errors", "volatile", "sram_uncorrectable"): f"{UNCORRECTED}.sram",
    ("ecc_errors", "volatile", "sram_uncorrectable_parity"): f"{UNCORRECTED}.sram.parity",
    ("ecc_errors", "volatile", "sram_uncorrectable_secded"): f"{UNCORRECTED}.sram.secded",
    ("ecc_errors", "volatile", "dram_uncorrectable"): f"{UNCORRECTED}.dram",
    ("ecc_errors", "aggregate", "sram_threshold_exceeded"): "sram_threshold_exceeded",
    ("ecc_errors", "channel_repair_pending"): "channel_repair_pending",
    ("ecc_errors", "tpc_repair_pending"): "tpc_repair_pending",
    ("ecc_errors", "unrepairable_memory"): "unrepairable_memory",
    ("retired_pages", "pending_retirement"): "retired_pages.pending",
    ("remapped_rows", "remapped_row_pending"): "remapped_rows.pending",
    ("remapped_rows", "remapped_row_failure"): "remapped_rows.failure",
    ("gpu_recovery_action",): "gpu_recovery_action",
    ("gpu_reset_status", "reset_required"): "reset_required",
    ("gpu_reset_status", "drain_and_reset_recommended"): "drain_and_reset_recommended",
    ("fan_speed",): "fan.speed",
    ("temperature", "gpu_temp"): "temperature.gpu",
    **{
        (f"clocks_{word}_reasons", f"clocks_{word}_reason_{field}"): f"clocks_event_reasons.{field}"
        for word in ("event", "throttle")
        for field in ("hw_slowdown", "hw_thermal_slowdown", "hw_power_brake_slowdown")
    },
}
"""Paths of the XML of schemas v11 to v13, and the fields that they are."""

_SLICE_LABELS: Mapping[str, Path] = {
    "number": ("index",),
    "gpu_instance": ("gpu instance id",),
    "compute_instance": ("compute instance id",),
    "uuid": ("mig uuid",),
    "units": ("device attributes", "shared", "multiprocessor count"),
    "total": ("fb memory usage", "total"),
    "used": ("fb memory usage", "used"),
}
_SLICE_ELEMENTS: Mapping[str, Path] = {
    "number": ("index",),
    "gpu_instance": ("gpu_instance_id",),
    "compute_instance": ("compute_instance_id",),
    "uuid": ("uuid",),
    "units": ("device_attributes", "shared", "multiprocessor_count"),
    "total": ("fb_memory_usage", "total"),
    "used": ("fb_memory_usage", "used"),
}


def fields_of(values: Mapping[Path, str], names: Mapping[Path, str]) -> dict[str, str]:
    """Return the fields among ``values`` that ``names`` knows."""
    return {name: values[path] for path, name in names.items() if path in values}


def slice_of_labels(values: Mapping[Path, str], parent: DeviceIds) -> Slice | None:
    """Return the MIG device that a section of ``-q`` describes. The memory's title begins with Shared since 590."""
    plain = {(path[0].removeprefix("shared "), *path[1:]): text for path, text in values.items()}
    return _slice(plain, _SLICE_LABELS, parent)


def slice_of_elements(values: Mapping[Path, str], parent: DeviceIds) -> Slice | None:
    """Return the MIG device that an element ``mig_device`` describes."""
    plain = {(path[0].removeprefix("shared_"), *path[1:]): text for path, text in values.items()}
    return _slice(plain, _SLICE_ELEMENTS, parent)


def _slice(values: Mapping[Path, str], names: Mapping[str, Path], parent: DeviceIds) -> Slice | None:
    found = {name: values.get(path) for name, path in names.items()}
    number = whole(found["number"])
    if number is None:
        return None
    instances = [whole(found[name]) for name in ("gpu_instance", "compute_instance")]
    return Slice(
        number=number,
        parent=parent,
        uuid=mig_uuid(found["uuid"]),
        instance=None if None in instances else "/".join(map(str, instances)),
        memory_total_bytes=size_bytes(found["total"]) or None,
        memory_used_bytes=size_bytes(found["used"]),
        compute_units=whole(found["units"]) or None,
    )
