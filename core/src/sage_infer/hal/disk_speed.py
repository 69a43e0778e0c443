"""Sequential bandwidth of a disk, measured: bounded in bytes and time, past the page cache, leaving nothing behind.

Run as a program (``python -m sage_infer.hal.disk_speed FOLDER BYTES SECONDS``) it prints JSON; :func:`measure_tiers`
does so for each disk of a profile, since a disk that hangs hangs the process that waits for it.
"""

from __future__ import annotations

import json
import mmap
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import attrs

from sage_infer_contracts.devices import Figure, HardwareProfile, MemoryTierSpec

from .. import env
from . import bounded

BLOCK_BYTES = 4 * 2**20
DEFAULT_BYTES = 256 * 2**20
DEFAULT_SECONDS = 3.0
_MARGIN_S = 15.0
_KEEP_FREE = 4
"""A disk must have this many times the bytes to be written free, else it is left alone."""


@attrs.frozen(slots=True)
class Speed:
    """One direction: bytes moved, seconds, and how the page cache was kept out."""

    nbytes: int
    seconds: float
    method: str

    def figure(self) -> Figure:
        """Return the bandwidth with how it was measured."""
        rate = self.nbytes / self.seconds / 1e9
        how = f"{self.nbytes >> 20} MiB in blocks of {BLOCK_BYTES >> 20} MiB, one thread, {self.method}"
        return Figure(value=round(rate, 4), unit="GB/s", source=f"measured: {how}")


def measure_tiers(
    profile: HardwareProfile, *, nbytes: int = DEFAULT_BYTES, seconds: float = DEFAULT_SECONDS
) -> tuple[HardwareProfile, list[str]]:
    """Return the profile with measured bandwidths of its disk tiers, and why some have none.

    Each disk is written and then read for at most ``seconds`` and ``nbytes`` each way.
    """
    tiers: list[MemoryTierSpec] = []
    problems: list[str] = []
    for tier in profile.memory_tiers:
        if tier.path is None:
            tiers.append(tier)
            continue
        measured, problem = _measured(tier, nbytes, seconds)
        tiers.append(measured)
        if problem is not None:
            problems.append(f"{tier.path} was not measured: {problem}")
    return profile.model_copy(update={"memory_tiers": tuple(tiers)}), problems


def _measured(tier: MemoryTierSpec, nbytes: int, seconds: float) -> tuple[MemoryTierSpec, str | None]:
    folder = next(_writable_folders(Path(tier.path or "/")), None)
    if folder is None:
        return tier, "no folder on it can be written to by this user"
    free_bytes = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
    if free_bytes < _KEEP_FREE * nbytes:
        return tier, f"{free_bytes >> 20} MiB are free, and {_KEEP_FREE * nbytes >> 20} MiB are wanted"
    outcome = bounded.run(
        [sys.executable, "-P", "-m", "sage_infer.hal.disk_speed", str(folder), str(nbytes), str(seconds)],
        timeout_s=2 * seconds + _MARGIN_S,
        limit_bytes=2**16,
        environment=env.child_environment({}),
    )
    if outcome.failure is not None:
        last = (outcome.stderr.strip().splitlines() or [""])[-1]
        return tier, f"the measurement {outcome.failure}; {last}".rstrip("; ")
    found = json.loads(outcome.stdout)
    figures = {f"{name}_bandwidth": Speed(**found[name]).figure() for name in ("write", "read")}
    return tier.model_copy(update=figures), None


def _writable_folders(mount: Path) -> Iterator[Path]:
    """Yield folders on the mounted disk that this user may write to."""
    for folder in (Path(tempfile.gettempdir()), Path.cwd(), Path.home(), mount):
        try:
            same_disk = folder.stat().st_dev == mount.stat().st_dev
        except OSError:
            continue
        if same_disk and os.access(folder, os.W_OK | os.X_OK):
            yield folder


def measure(folder: Path, nbytes: int, seconds: float) -> dict[str, Speed]:
    """Write a file without a name in ``folder`` and read it back; raises OSError.

    With O_DIRECT where the file system has it. Elsewhere writing ends with a flush to the disk, and before reading the
    file is dropped from the page cache, which the file system may not heed: ``method`` says which.
    """
    descriptor, path = tempfile.mkstemp(prefix=".sage-infer-disk-", dir=folder)
    try:
        path_again = Path(path)
        direct = _open_direct(path_again)
        os.close(descriptor)
        descriptor = os.open(path_again, os.O_RDWR) if direct is None else direct
        path_again.unlink()  # nothing is left, whatever ends this process
        method = "fdatasync at the end, page cache dropped before reading" if direct is None else "O_DIRECT"
        written = _write(descriptor, nbytes, seconds, method)
        if direct is None and hasattr(os, "posix_fadvise"):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        return {"write": written, "read": _read(descriptor, written.nbytes, seconds, method)}
    finally:
        os.close(descriptor)
        Path(path).unlink(missing_ok=True)


def _open_direct(path: Path) -> int | None:
    flag = getattr(os, "O_DIRECT", 0)
    if not flag:
        return None
    try:
        descriptor = os.open(path, os.O_RDWR | flag)
    except OSError:
        return None  # tmpfs and some network file systems refuse it
    try:
        with mmap.mmap(-1, BLOCK_BYTES) as block:
            os.pwrite(descriptor, block, 0)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _write(descriptor: int, nbytes: int, seconds: float, method: str) -> Speed:
    with mmap.mmap(-1, BLOCK_BYTES) as block:  # page-aligned, as O_DIRECT demands
        block.write(os.urandom(BLOCK_BYTES))  # a disk that compresses must not gain by it
        began = time.perf_counter()
        done = 0
        while done < nbytes and time.perf_counter() - began < seconds:
            done += os.pwrite(descriptor, block, done)
        os.fdatasync(descriptor) if hasattr(os, "fdatasync") else os.fsync(descriptor)
        return Speed(done, time.perf_counter() - began, method)


def _read(descriptor: int, nbytes: int, seconds: float, method: str) -> Speed:
    with mmap.mmap(-1, BLOCK_BYTES) as block:
        began = time.perf_counter()
        done = 0
        while done < nbytes and time.perf_counter() - began < seconds:
            got = os.preadv(descriptor, [block], done)
            if got == 0:
                break
            done += got
        return Speed(done, max(time.perf_counter() - began, 1e-9), method)


def main() -> None:
    """Measure the folder named in ``argv`` and print both speeds."""
    found = measure(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
    json.dump({name: attrs.asdict(speed) for name, speed in found.items()}, sys.stdout)


if __name__ == "__main__":
    main()
