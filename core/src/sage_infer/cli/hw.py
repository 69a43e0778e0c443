"""``sage infer hw``: what this machine has, and a recording of it for a bug report or a test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .hw_show import show_detection, show_reasons, show_status

if TYPE_CHECKING:
    from sage_infer.hal import AgedDetection
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
    type=click.Path(exists=True, path_type=Path),
    help="Look at a recording (.json) instead of this machine; or at a plain capture of a command (.txt, with what "
    "command it was in a .source beside it), or at a folder of both, which gives a list.",
)
@click.option(
    "--max-age",
    "max_age_s",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="Take what was detected at most this many seconds ago; its age is shown.",
)
@click.option("--refresh", is_flag=True, help="Look now, whatever --max-age says.")
@click.option(
    "--measure-disks",
    is_flag=True,
    help="Write and read at most 256 MiB, for 3 s each, on every disk, and remove it again.",
)
@_timeout_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def detect(
    replay: Path | None,
    max_age_s: float,
    refresh: bool,
    measure_disks: bool,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Ask every installed detector, each in a process of its own, and show what they found."""
    from sage_infer.hal import AgedDetection, DetectionCache, detect_hardware
    from sage_infer.hal.detection_cache import age_in_words, as_json as to_json

    if replay is not None and (measure_disks or max_age_s or refresh):
        raise click.UsageError(
            "--measure-disks, --max-age and --refresh are for this machine, not for a replay"
        )
    if replay is not None and (replay.is_dir() or replay.suffix != ".json"):
        _detect_kept(replay, timeout_s=timeout_s, as_json=as_json)
        return
    if max_age_s and replay is None:
        found = DetectionCache().get(max_age_s=max_age_s, refresh=refresh, timeout_s=timeout_s)
    else:
        recording = None if replay is None else _load(replay)
        found = AgedDetection(detect_hardware(replay=recording, timeout_s=timeout_s), 0.0)
    if measure_disks:
        found = _with_disks(found)
    if as_json:
        click.echo(to_json(found))
        return
    if found.age_s:
        click.echo(age_in_words(found.age_s))
    show_detection(found.detection)


def _with_disks(found: AgedDetection) -> AgedDetection:
    from sage_infer.hal import AgedDetection
    from sage_infer.hal.disk_speed import measure_tiers

    profile, problems = measure_tiers(found.detection.profile)
    detection = found.detection
    more = {"profile": profile, "problems": (*detection.problems, *problems)}
    return AgedDetection(detection.model_copy(update=more), found.age_s)


@hw.command("status")
@click.option(
    "--max-age",
    "max_age_s",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="Take a look at the devices that is at most this many seconds old.",
)
@_timeout_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(max_age_s: float, timeout_s: float, as_json: bool) -> None:
    """Show how busy each device is now, and which process reserved what of it."""
    from sage_infer.hal import GPUManager

    found = GPUManager(max_age_s=max_age_s, timeout_s=timeout_s).status()
    if as_json:
        click.echo(found.model_dump_json(indent=2))
        return
    show_status(found)


def _detect_kept(path: Path, *, timeout_s: float, as_json: bool) -> None:
    from sage_infer.hal.replay import detect_kept, kept_machines

    found = detect_kept(kept_machines(path), timeout_s=timeout_s)
    if as_json:
        click.echo(
            json.dumps([one.model_dump(mode="json", exclude={"recording"}) for one in found], indent=2)
        )
        return
    for one in found:
        click.echo(f"\n== {one.file}" + (f": {one.command}" if one.command else ""))
        # Of a capture that has found its reader, the others can only say that they know nothing.
        readers = tuple(run for run in one.runs if run.answered) or one.runs
        show_detection(one.model_copy(update={"runs": readers}))


@hw.command("explain")
@click.argument("names", nargs=-1, metavar="[HARDWARE]...")
@click.option(
    "--replay",
    type=click.Path(exists=True, path_type=Path),
    help="Look at a recording, a capture or a folder of them instead of this machine.",
)
@_timeout_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def explain(names: tuple[str, ...], replay: Path | None, timeout_s: float, as_json: bool) -> None:
    """Say why each detector, or those of HARDWARE, found or did not find something, source by source."""
    from sage_infer.hal import detect_hardware
    from sage_infer.hal.explain import explained
    from sage_infer.hal.replay import detect_kept, kept_machines

    if replay is None or (replay.suffix == ".json" and not replay.is_dir()):
        recording = None if replay is None else _load(replay)
        found = {"": explained(detect_hardware(replay=recording, timeout_s=timeout_s), names)}
    else:
        kept = detect_kept(kept_machines(replay), timeout_s=timeout_s)
        found = {one.file: explained(one, names) for one in kept}
    if as_json:
        plain = {file: [one.model_dump(mode="json") for one in reasons] for file, reasons in found.items()}
        click.echo(json.dumps(plain.get("", plain), indent=2))
        return
    for file, reasons in found.items():
        click.echo(f"\n== {file}" if file else "", nl=bool(file))
        show_reasons(reasons)


@hw.command("record")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="File to write; standard output without it.",
)
@click.option("--note", default="", help="Text to keep in the recording.")
@click.option(
    "--mask",
    is_flag=True,
    help="Replace serial numbers, UUIDs, host and user names, MAC and IP addresses, each by the same mask throughout.",
)
@click.option(
    "--replay",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Take a recording, to mask it, instead of this machine.",
)
@_timeout_option
def record(output: Path | None, note: str, mask: bool, replay: Path | None, timeout_s: float) -> None:
    """Write all that the detectors asked this machine, as JSON that `hw detect --replay` takes."""
    recording = _recorded(timeout_s) if replay is None else _load(replay)
    if note:
        recording = recording.model_copy(update={"note": note})
    if mask:
        import platform

        from sage_infer.hal.masking import masked

        recording = masked(recording, hostnames=[] if replay else [platform.node()])
    text = recording.model_dump_json(indent=1)
    if output is None:
        click.echo(text)
        return
    output.write_text(text + "\n", encoding="utf-8")
    click.echo(
        f"recorded {len(recording.commands)} commands, {len(recording.files)} files in {output}", err=True
    )


def _recorded(timeout_s: float) -> ProbeRecording:
    from sage_infer.hal import detect_hardware

    recording = detect_hardware(record=True, timeout_s=timeout_s).recording
    assert recording is not None
    return recording


def _load(path: Path) -> ProbeRecording:
    from sage_infer.hal.replay import read_recording

    return read_recording(path)
