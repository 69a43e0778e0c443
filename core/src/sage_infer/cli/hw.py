"""``sage infer hw``: what this machine has, and a recording of it for a bug report or a test."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .tables import print_table

if TYPE_CHECKING:
    from sage_infer.hal.detect import Detection, DetectorRun
    from sage_infer_contracts.devices import AcceleratorDescriptor, HardwareProfile, MemoryTierSpec
    from sage_infer_contracts.probe import ProbeRecording

_timeout_option = click.option(
    "--timeout", "timeout_s", type=click.FloatRange(min=1.0, max=600.0), default=30.0, show_default=True,
    help="Seconds that one detector may take.",
)  # fmt: skip


@click.group("hw")
def hw() -> None:
    """Detect the hardware of this machine."""


@hw.command("detect")
@click.option(
    "--replay",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Look at a recording instead of this machine.",
)
@_timeout_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def detect(replay: Path | None, timeout_s: float, as_json: bool) -> None:
    """Ask every installed detector, each in a process of its own, and show what they found."""
    from sage_infer.hal import detect_hardware

    recording = None if replay is None else _load(replay)
    detection = detect_hardware(replay=recording, timeout_s=timeout_s)
    if as_json:
        click.echo(json.dumps(detection.model_dump(mode="json", exclude={"recording"}), indent=2))
        return
    _show(detection)


@hw.command("record")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="File to write; standard output without it.",
)
@click.option("--note", default="", help="Text to keep in the recording.")
@_timeout_option
def record(output: Path | None, note: str, timeout_s: float) -> None:
    """Write all that the detectors asked this machine, as JSON that `hw detect --replay` takes."""
    from sage_infer.hal import detect_hardware

    detection = detect_hardware(record=True, timeout_s=timeout_s)
    assert detection.recording is not None
    text = detection.recording.model_copy(update={"note": note}).model_dump_json(indent=1)
    if output is None:
        click.echo(text)
        return
    output.write_text(text + "\n", encoding="utf-8")
    click.echo(f"recorded {len(detection.runs)} detectors in {output}", err=True)


def _load(path: Path) -> ProbeRecording:
    from pydantic import ValidationError

    from sage_infer_contracts.errors import InvalidRequest
    from sage_infer_contracts.probe import ProbeRecording

    try:
        return ProbeRecording.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        first = str(error).splitlines()[0]
        raise InvalidRequest(f"{path} is not a recording of `sage infer hw record`: {first}") from error


def _show(detection: Detection) -> None:
    if not detection.runs:
        click.echo("No detector is installed; sage-infer-host brings the one for this machine's CPU.")
    else:
        columns = ("hardware", "state", "step", "outcome", "detail")
        print_table(columns, _run_rows(detection.runs), title="detectors")
    _show_profile(detection.profile)
    for problem in detection.problems:
        click.echo(f"problem: {problem}")


def _run_rows(runs: tuple[DetectorRun, ...]) -> Iterator[tuple[str, str, str, str, str]]:
    for run in runs:
        report = run.report
        yield report.hardware_backend, report.state, f"{run.duration_s:.1f} s", "", report.reason or ""
        for step in report.steps:
            yield "", "", step.source, step.outcome, step.detail


def _show_profile(profile: HardwareProfile) -> None:
    host = profile.host
    if host is not None:
        cores = "unknown" if host.physical_cores is None else str(host.physical_cores)
        click.echo(
            f"\nhost: {host.model or 'unknown processor'} ({host.architecture}), {cores} cores, "
            f"{host.logical_cpus} logical CPUs, {host.usable_cpus:g} usable, {len(profile.numa_nodes)} NUMA nodes\n"
        )
    print_table(
        ("hardware", "name", "id", "memory", "NUMA", "health"),
        map(_device_row, profile.accelerators),
        title="accelerators",
    )
    click.echo()
    print_table(
        ("tier", "capacity", "available", "path"), map(_tier_row, profile.memory_tiers), title="memory tiers"
    )


def _device_row(one: AcceleratorDescriptor) -> tuple[str, ...]:
    identity = one.ids.bdf or one.ids.uuid or ""
    node = "" if one.numa_node is None else str(one.numa_node)
    return one.hardware_backend, one.name, identity, _size(one.memory_total_bytes), node, one.health


def _tier_row(tier: MemoryTierSpec) -> tuple[str, str, str, str]:
    return tier.name, _size(tier.capacity_bytes), _size(tier.available_bytes), tier.path or ""


def _size(number: int | None) -> str:
    return "" if number is None else f"{number / 2**30:.1f} GiB"
