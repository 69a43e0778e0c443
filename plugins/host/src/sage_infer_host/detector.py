"""CpuDetector: the host as hardware ``cpu``."""

from __future__ import annotations

from sage_infer_contracts.detection import DetectionReport
from sage_infer_contracts.devices import AcceleratorDescriptor, MemoryTierSpec, NumaNode
from sage_infer_contracts.probe import Probe

from .asking import Asker
from .cgroups import read_limits
from .cpus import Processors, dtypes, read_processors
from .disks import read_disks
from .memory import read_dram, read_numa


class CpuDetector:
    """A pure function of a probe; see :class:`~sage_infer_contracts.detection.HardwareDetector`."""

    hardware_backend = "cpu"

    def detect(self, probe: Probe) -> DetectionReport:
        """Report processors, memory, NUMA nodes and disks."""
        ask = Asker(probe)
        limits = read_limits(ask)
        found = read_processors(ask, limits.cpus)
        dram = read_dram(ask, limits)
        if found is None:
            return DetectionReport(
                hardware_backend="cpu",
                state="unreadable",
                reason="neither /proc/cpuinfo, sysfs nor sysctl says how many processors there are",
                memory_tiers=() if dram is None else (dram,),
                steps=tuple(ask.steps),
            )
        nodes = read_numa(ask, found.online)
        disks = read_disks(ask)
        return _report(ask, found, dram, nodes, disks)


def _report(
    ask: Asker,
    found: Processors,
    dram: MemoryTierSpec | None,
    nodes: tuple[NumaNode, ...],
    disks: tuple[MemoryTierSpec, ...],
) -> DetectionReport:
    doubts = [found.doubt, None if dram is not None else "the size of the memory is unknown"]
    reasons = [doubt for doubt in doubts if doubt is not None]
    return DetectionReport(
        hardware_backend="cpu",
        state="partial" if reasons else "present",
        reason="; ".join(reasons) or None,
        accelerators=(_as_accelerator(found, dram),),
        memory_tiers=(*(() if dram is None else (dram,)), *disks),
        host=found.host,
        numa_nodes=nodes,
        steps=tuple(ask.steps),
    )


def _as_accelerator(found: Processors, dram: MemoryTierSpec | None) -> AcceleratorDescriptor:
    available = None if dram is None else dram.available_bytes
    return AcceleratorDescriptor(
        hardware_backend="cpu",
        name=found.host.model or found.host.architecture,
        memory_total_bytes=None if dram is None else dram.capacity_bytes,
        memory_used_bytes=None if dram is None or available is None else dram.capacity_bytes - available,
        compute_units=found.host.physical_cores,
        dtypes=dtypes(found.host.features),
        features=found.host.features,
    )
