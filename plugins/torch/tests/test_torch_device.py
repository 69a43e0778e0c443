"""The cpu runtime measures memory within its control group and computes in what it says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sage_infer_contracts.errors import DeviceUnavailable, Unsupported
from sage_infer_contracts.membership import missing_members
from sage_infer_contracts.runtime import DeviceRuntime
from sage_infer_torch import device_cpu
from sage_infer_torch.device_cpu import CpuRuntime


def test_the_runtime_has_every_member_of_the_contract() -> None:
    assert not missing_members(CpuRuntime(), DeviceRuntime)


def test_memory_is_that_of_the_host_without_a_control_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_cpu, "_CGROUP", tmp_path)
    info = CpuRuntime().memory_info(0)
    assert 0 < info.free_bytes <= info.total_bytes


@pytest.mark.parametrize(("used", "free"), [("1048576", 3 * 2**20), ("9999999999", 0)])
def test_memory_is_limited_by_the_control_group(
    used: str, free: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_cpu, "_CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text("4194304\n")
    (tmp_path / "memory.current").write_text(used + "\n")
    info = CpuRuntime().memory_info(0)
    assert (info.free_bytes, info.total_bytes) == (free, 4 * 2**20)


def test_an_unlimited_control_group_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_cpu, "_CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("5\n")
    assert CpuRuntime().memory_info(0).total_bytes > 4 * 2**20


@pytest.mark.engine
def test_dtypes_resolve_and_others_are_refused() -> None:
    import torch

    runtime = CpuRuntime()
    runtime.prepare()
    assert [runtime.framework_dtype(dtype) for dtype in runtime.dtypes()] == [
        torch.float32,
        torch.bfloat16,
        torch.float16,
    ]
    with pytest.raises(Unsupported, match="int4"):
        runtime.framework_dtype("int4")
    with pytest.raises(DeviceUnavailable, match="one cpu device"):
        runtime.device(1)


@pytest.mark.engine
def test_threads_are_set_and_reported() -> None:
    import torch

    before = torch.get_num_threads()
    try:
        assert CpuRuntime().set_threads(1) == torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.engine
def test_copies_are_complete_on_return() -> None:
    import torch

    runtime = CpuRuntime()
    target = runtime.pinned_empty((2, 3), torch.float32)
    runtime.copy(target, torch.ones(2, 3), non_blocking=True)
    runtime.wait_event(runtime.record_event(runtime.new_stream(0)), None)
    with runtime.stream(None):
        runtime.synchronize(0)
    assert target.sum() == 6


@pytest.mark.parametrize(("given", "kept"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_idle_threads_sleep_unless_the_user_decided(given: str | None, kept: str) -> None:
    code = (
        "import os; from sage_infer_torch.device_cpu import CpuRuntime; CpuRuntime().prepare();"
        "print(os.environ['OMP_WAIT_POLICY'])"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    if given is not None:
        environment["OMP_WAIT_POLICY"] = given
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == kept
