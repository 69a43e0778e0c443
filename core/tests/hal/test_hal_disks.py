"""Disk bandwidth: measured within bounds, honest about the cache, and nothing left behind."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import pytest

from sage_infer.hal import disk_speed
from sage_infer.hal.disk_speed import BLOCK_BYTES, measure, measure_tiers
from sage_infer_contracts.devices import HardwareProfile, MemoryTierSpec


def test_a_measurement_leaves_a_file_or_does_not_end(tmp_path: Path) -> None:
    began = time.monotonic()
    found = measure(tmp_path, 4 * BLOCK_BYTES, 5.0)
    assert time.monotonic() - began < 30
    assert {name: speed.nbytes for name, speed in found.items()} == {
        "write": 4 * BLOCK_BYTES,
        "read": 4 * BLOCK_BYTES,
    }
    assert list(tmp_path.iterdir()) == []
    figure = found["write"].figure()
    assert figure.value > 0
    assert figure.source.startswith("measured: 16 MiB in blocks of 4 MiB, one thread, ")


def test_the_cache_is_passed_off_as_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_speed, "_open_direct", lambda _: None)
    found = measure(tmp_path, BLOCK_BYTES, 5.0)
    assert "page cache dropped" in found["read"].method
    assert list(tmp_path.iterdir()) == []


def test_a_time_limit_is_overrun(tmp_path: Path) -> None:
    assert measure(tmp_path, 2**40, 0.0)["write"].nbytes == 0


def test_only_disks_are_measured_and_failures_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    mount = tmp_path
    while not os.path.ismount(mount):
        mount = mount.parent
    tiers = (
        MemoryTierSpec(name="dram", capacity_bytes=1),
        MemoryTierSpec(name="disk", capacity_bytes=1, path=str(mount)),
        MemoryTierSpec(name="gone", capacity_bytes=1, path="/no/such/mount"),
    )
    profile, problems = measure_tiers(
        HardwareProfile(memory_tiers=tiers), nbytes=2 * BLOCK_BYTES, seconds=5.0
    )
    dram, disk, gone = profile.memory_tiers
    assert (dram, gone) == (tiers[0], tiers[2])
    assert disk.read_bandwidth is not None
    assert disk.write_bandwidth is not None
    assert problems == ["/no/such/mount was not measured: no folder on it can be written to by this user"]
    _, problems = measure_tiers(HardwareProfile(memory_tiers=tiers[1:2]), nbytes=2**60)
    assert "MiB are free" in problems[0]
