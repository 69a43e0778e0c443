"""Many reports to one profile, many recordings to one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sage_infer_contracts.detection import DetectionReport
from sage_infer_contracts.devices import AcceleratorDescriptor, HardwareProfile, NumaNode
from sage_infer_contracts.probe import CommandResult, PciDevice, ProbeRecording


def merge_reports(reports: Sequence[DetectionReport]) -> tuple[HardwareProfile, list[str]]:
    """Join reports in order. A PCI address claimed twice is kept once and named in the second value (HD-03)."""
    accelerators, conflicts = _accelerators(reports)
    nodes: dict[int, NumaNode] = {}
    for report in reports:
        for node in report.numa_nodes:
            nodes.setdefault(node.node, node)
    hosts = [report.host for report in reports if report.host is not None]
    profile = HardwareProfile(
        accelerators=tuple(accelerators),
        links=tuple(dict.fromkeys(link for report in reports for link in report.links)),
        memory_tiers=tuple(dict.fromkeys(tier for report in reports for tier in report.memory_tiers)),
        host=hosts[0] if hosts else None,
        numa_nodes=tuple(nodes[number] for number in sorted(nodes)),
    )
    return profile, conflicts


def _accelerators(reports: Sequence[DetectionReport]) -> tuple[list[AcceleratorDescriptor], list[str]]:
    kept: list[AcceleratorDescriptor] = []
    owners: dict[str, str] = {}
    conflicts: list[str] = []
    for report in reports:
        for accelerator in report.accelerators:
            bdf = accelerator.ids.bdf
            owner = owners.setdefault(bdf, report.hardware_backend) if bdf else report.hardware_backend
            # One detector may report several slices at one address; two detectors may not share an address.
            if owner == report.hardware_backend:
                kept.append(accelerator)
            else:
                conflicts.append(
                    f"device {bdf} is claimed by {owner} and by {report.hardware_backend}; kept as {owner}"
                )
    return kept, conflicts


def merge_recordings(recordings: Iterable[ProbeRecording]) -> ProbeRecording:
    """Join recordings of one machine; where two asked the same, the later answer stands."""
    pci: tuple[PciDevice, ...] | None = None
    files: dict[str, str | None] = {}
    directories: dict[str, tuple[str, ...] | None] = {}
    environment: dict[str, str | None] = {}
    libraries: dict[str, str | None] = {}
    commands: dict[str, CommandResult] = {}
    for one in recordings:
        pci = pci if one.pci is None else one.pci
        files |= one.files
        directories |= one.directories
        environment |= one.environment
        commands |= one.commands
        libraries |= one.libraries
    return ProbeRecording(
        pci=pci,
        files=files,
        directories=directories,
        environment=environment,
        commands=commands,
        libraries=libraries,
    )
