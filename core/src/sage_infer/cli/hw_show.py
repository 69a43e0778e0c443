"""What detection found, for people: a table of accelerators, a matrix of their links, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from .tables import print_table

if TYPE_CHECKING:
    from sage_infer.hal import DeviceStatus, MachineStatus
    from sage_infer.hal.detect import Detection, DetectorRun
    from sage_infer.hal.explain import Explained
    from sage_infer_contracts.devices import AcceleratorDescriptor, HardwareProfile, MemoryTierSpec

_DEVICE_COLUMNS = (
    "device", "name", "logical", "address", "uuid", "memory used / total", "util", "NUMA", "health",
)  # fmt: skip


def show_detection(detection: Detection) -> None:
    """Print one machine: detectors, host, accelerators, links, memory, problems."""
    if not detection.runs:
        click.echo("No detector is installed; sage-infer-host brings the one for this machine's CPU.")
    else:
        print_table(
            ("hardware", "state", "devices", "time", "reason"),
            map(_run_row, detection.runs),
            title="detectors",
        )
    _show_profile(detection.profile)
    for problem in detection.problems:
        click.echo(f"problem: {problem}")


def show_reasons(reasons: Sequence[Explained]) -> None:
    """Print why each detector came to its state, and what each of its sources said."""
    for one in reasons:
        click.echo(f"{one.hardware_backend}: {one.state}, {one.why}")
        if one.steps:
            print_table(("  source", "outcome", "detail"), _step_rows(one))
        click.echo()


def show_status(status: MachineStatus) -> None:
    """Print how busy each device is, and who reserved it."""
    from sage_infer.hal.detection_cache import age_in_words

    click.echo(age_in_words(status.age_s))
    columns = ("device", "name", "memory used / total", "reserved", "util", "health", "reserved by")
    print_table(columns, map(_status_row, status.devices), title="devices")


def _status_row(one: DeviceStatus) -> tuple[str, ...]:
    busy = "" if one.utilisation_percent is None else f"{one.utilisation_percent:g} %"
    holders = "\n".join(
        f"{entry.owner.pid}{f' ({entry.label})' if entry.label else ''}: "
        f"{'all' if entry.nbytes is None else _size(entry.nbytes)}"
        for entry in one.reservations
    )
    memory = f"{_size(one.memory_used_bytes) or '?'} / {_size(one.memory_total_bytes) or '?'}"
    return one.device, one.name, memory, _size(one.reserved_bytes) or "all", busy, one.health, holders


def device_labels(accelerators: Sequence[AcceleratorDescriptor]) -> list[str]:
    """Return a short name for each device: hardware and the number its tool gives it, or its place in the list."""
    wanted = [
        f"{one.hardware_backend}{place if one.ids.index is None else one.ids.index}"
        for place, one in enumerate(accelerators)
    ]
    return [
        f"{label}.{wanted[:place].count(label)}" if wanted.count(label) > 1 else label
        for place, label in enumerate(wanted)
    ]


def _run_row(run: DetectorRun) -> tuple[str, ...]:
    report = run.report
    count = str(len(report.accelerators))
    return report.hardware_backend, report.state, count, f"{run.duration_s:.1f} s", report.reason or ""


def _step_rows(one: Explained) -> Iterator[tuple[str, str, str]]:
    for step in one.steps:
        yield f"  {step.source}", step.outcome, step.detail


def _show_profile(profile: HardwareProfile) -> None:
    host = profile.host
    if host is not None:
        cores = "unknown" if host.physical_cores is None else str(host.physical_cores)
        click.echo(
            f"\nhost: {host.model or 'unknown processor'} ({host.architecture}), {cores} cores, "
            f"{host.logical_cpus} logical CPUs, {host.usable_cpus:g} usable, {len(profile.numa_nodes)} NUMA nodes"
        )
    if profile.accelerators:
        click.echo()
        labels = device_labels(profile.accelerators)
        rows = (_device_row(*pair) for pair in zip(labels, profile.accelerators, strict=True))
        print_table(_DEVICE_COLUMNS, rows, title="accelerators")
    _show_links(profile)
    if profile.memory_tiers:
        click.echo()
        columns = ("tier", "capacity", "available", "read", "write", "path")
        print_table(columns, map(_tier_row, profile.memory_tiers), title="memory tiers")


def _device_row(label: str, one: AcceleratorDescriptor) -> tuple[str, ...]:
    ids = one.ids
    health = one.health if one.health_reason is None else f"{one.health}: {one.health_reason}"
    used = _size(one.memory_used_bytes) or "?"
    memory = f"{used} / {_size(one.memory_total_bytes)}" if one.memory_total_bytes is not None else ""
    busy = "" if one.utilisation_percent is None else f"{one.utilisation_percent:g} %"
    name = one.name if one.slice_of is None else f"{one.name} (slice of {one.slice_of})"
    return (
        label, name, _number(ids.logical), ids.bdf or "", ids.uuid or "", memory, busy, _number(one.numa_node), health,
    )  # fmt: skip


def _show_links(profile: HardwareProfile) -> None:
    from sage_infer.hal.queries import link_endpoints, links_between

    if not profile.links:
        return
    names = dict(zip(device_labels(profile.accelerators), profile.accelerators, strict=True))
    endpoints = {label: one.ids.uuid or one.ids.bdf or "" for label, one in names.items()}
    endpoints |= {name: name for name in link_endpoints(profile)}
    linked = {
        label: name
        for label, name in endpoints.items()
        if any(links_between(profile, name, other) for other in endpoints.values() if other != name)
    }

    def cell(one: str, other: str) -> str:
        if one == other:
            return "X"
        return "+".join(sorted({link.kind for link in links_between(profile, one, other)}))

    click.echo()
    rows = ([label, *(cell(name, other) for other in linked.values())] for label, name in linked.items())
    print_table(["", *linked], rows, title="links")


def _tier_row(tier: MemoryTierSpec) -> tuple[str, ...]:
    speeds = (
        "" if figure is None else f"{figure.value:.2f} {figure.unit}"
        for figure in (tier.read_bandwidth, tier.write_bandwidth)
    )
    return tier.name, _size(tier.capacity_bytes), _size(tier.available_bytes), *speeds, tier.path or ""


def _number(value: int | None) -> str:
    return "" if value is None else str(value)


def _size(number: int | None) -> str:
    return "" if number is None else f"{number / 2**30:.1f} GiB"
