"""What a machine has: accelerators, links, memory tiers, disks. Unknown is null, never a guess (HD-06)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from .names import DType, HardwareName
from .wire import FrozenModel, WireModel

HealthState = Literal["ok", "degraded", "failed", "unknown"]


class Figure(FrozenModel):
    """A number with where it comes from: measured on this machine, or a cited specification."""

    value: float
    unit: str
    source: str = Field(min_length=1, description="'measured' or a citation")


class DeviceIds(FrozenModel):
    """The identities of one device, kept apart (HD-05): tools, runtimes and /dev number them differently."""

    index: NonNegativeInt | None = Field(default=None, description="row in the vendor's tool")
    logical: NonNegativeInt | None = Field(default=None, description="what the runtime calls it")
    physical: NonNegativeInt | None = None
    minor: NonNegativeInt | None = Field(default=None, description="/dev node number")
    uuid: str | None = None
    bdf: str | None = Field(default=None, description="PCI address dddd:bb:dd.f, lower case")


class AcceleratorDescriptor(WireModel):
    """One accelerator, or the host CPU seen as one."""

    hardware_backend: HardwareName
    name: str = Field(description="product name as the device reports it")
    chip: str | None = Field(
        default=None, description="name in its vendor's list of chips, where it is in it"
    )
    ids: DeviceIds = DeviceIds()
    memory_total_bytes: NonNegativeInt | None = None
    memory_used_bytes: NonNegativeInt | None = None
    utilisation_percent: float | None = Field(default=None, ge=0, le=100)
    compute_units: PositiveInt | None = Field(
        default=None, description="cores, SMs or the vendor's equivalent"
    )
    dtypes: tuple[DType, ...] = ()
    numa_node: NonNegativeInt | None = None
    driver_version: str | None = None
    slice_of: str | None = Field(default=None, description="UUID or BDF of the parent of a slice (MIG, vNPU)")
    health: HealthState = "unknown"
    health_reason: str | None = None
    figures: tuple[tuple[str, Figure], ...] = Field(
        default=(), description="name to figure, e.g. memory_bandwidth"
    )
    features: tuple[str, ...] = Field(default=(), description="instruction sets and the like, as reported")


class LinkProfile(WireModel):
    """A path between two endpoints. Bandwidth and latency are measured, or carry their source."""

    source: str = Field(description="device uuid, bdf, 'host' or 'numa:N'")
    destination: str
    kind: str = Field(description="as the tool names it, e.g. NV18, HCCS, PIX, shm, tcp")
    bandwidth: Figure | None = None
    latency: Figure | None = None


class MemoryTierSpec(WireModel):
    """One tier of the memory hierarchy."""

    name: str = Field(description="hbm, dram, ssd, remote or the owner's name")
    capacity_bytes: NonNegativeInt
    available_bytes: NonNegativeInt | None = None
    read_bandwidth: Figure | None = None
    write_bandwidth: Figure | None = None
    persistent: bool = False
    numa_node: NonNegativeInt | None = None
    path: str | None = Field(default=None, description="mount point of a disk tier")


class NumaNode(FrozenModel):
    """One NUMA node of the host."""

    node: NonNegativeInt
    cpus: tuple[NonNegativeInt, ...]
    memory_bytes: NonNegativeInt | None = None
    distances: tuple[NonNegativeInt, ...] = ()


class HostCpu(FrozenModel):
    """The host's processors."""

    model: str | None = None
    architecture: str
    physical_cores: PositiveInt | None = None
    logical_cpus: PositiveInt
    usable_cpus: NonNegativeFloat = Field(description="after affinity and container quota")
    features: tuple[str, ...] = ()


class HardwareProfile(WireModel):
    """A machine as schedulers see it."""

    accelerators: tuple[AcceleratorDescriptor, ...] = ()
    links: tuple[LinkProfile, ...] = ()
    memory_tiers: tuple[MemoryTierSpec, ...] = ()
    host: HostCpu | None = None
    numa_nodes: tuple[NumaNode, ...] = ()
