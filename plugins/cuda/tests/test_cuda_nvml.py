"""The probe script on stand-ins for nvidia-ml-py, in a process of its own as a probe runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from sage_infer_contracts.probe import ProbeRecording
from sage_infer_cuda.detector import CudaDetector
from sage_infer_cuda.parsing.nvml import CALL, MODULE

NOT_THERE = """
class NVMLError(Exception): pass
class NVMLError_LibraryNotFound(NVMLError): pass
def nvmlInit(): raise NVMLError_LibraryNotFound("NVML Shared Library Not Found")
"""
NO_DRIVER = """
class NVMLError(Exception): pass
def nvmlInit(): raise NVMLError("Driver Not Loaded")
"""
MACHINE = """
class NVMLError(Exception): pass
nvmlMemory_v2 = 2
NVML_FI_DEV_NVLINK_SPEED_MBPS_COMMON = 90

class Facts:
    def __init__(self, **facts): self.__dict__.update(facts)

def nvmlInit(): print("noise of a preloaded library", file=__import__("sys").stderr)
def nvmlShutdown(): pass
def nvmlSystemGetDriverVersion(): return "590.48.01"
def nvmlDeviceGetCount(): return 4
def nvmlDeviceGetHandleByIndex(index):
    if index == 1: raise NVMLError("GPU is lost")
    return index
def nvmlDeviceGetUUID(handle):
    if handle == (3, 1): return "MIG-00000000-0000-0000-0000-000000000031"
    return f"GPU-0000000{handle}-0000-0000-0000-000000000000"
def nvmlDeviceGetName(handle): return "NVIDIA H100 MIG 1g.10gb" if isinstance(handle, tuple) else "NVIDIA H100"
def nvmlDeviceGetPciInfo(handle): return Facts(busId=f"00000000:{0x18 + handle:02X}:00.0".encode())
def nvmlDeviceGetMinorNumber(handle): return 7 - handle
def nvmlDeviceGetCudaComputeCapability(handle): return 9, 0
def nvmlDeviceGetUtilizationRates(handle):
    if handle == 3: raise NVMLError("Not Supported")
    return Facts(gpu=42)
def nvmlDeviceGetNumGpuCores(handle): return 16896
def nvmlDeviceGetMemoryInfo(handle, version=None):
    if version is None: raise NVMLError("must ask for version 2")
    return Facts(total=80 * 2**30, used=2**30) if not isinstance(handle, tuple) else Facts(total=10 * 2**30, used=2**20)
def nvmlDeviceGetEccMode(handle): return [1, 1]
def nvmlDeviceGetTotalEccErrors(handle, kind, counter):
    assert (kind, counter) == (1, 0)
    return 5 if handle == 2 else 0
def nvmlDeviceGetRemappedRows(handle): return 0, 0, 0, 1 if handle == 2 else 0
def nvmlDeviceGetCurrentClocksThrottleReasons(handle): return 0x1
def nvmlDeviceGetMigMode(handle):
    if handle == 0: raise NVMLError("Not Supported")
    return [1, 1] if handle == 3 else [0, 0]
def nvmlDeviceGetMaxMigDeviceCount(handle): return 7
def nvmlDeviceGetMigDeviceHandleByIndex(handle, number):
    if number != 1: raise NVMLError("Not Found")
    return handle, number
def nvmlDeviceGetGpuInstanceId(handle): return 9
def nvmlDeviceGetComputeInstanceId(handle): return 0
def nvmlDeviceGetAttributes(handle): return Facts(multiprocessorCount=16)
def nvmlDeviceGetNvLinkState(handle, link):
    if link > 3: raise NVMLError("Invalid Argument")
    return 0 if link == 3 or handle == 3 else 1
def nvmlDeviceGetNvLinkRemotePciInfo(handle, link):
    return Facts(busId=f"00000000:{0x18 + 2 - handle:02X}:00.0".encode())
def nvmlDeviceGetNvLinkRemoteDeviceType(handle, link): return 0
def nvmlDeviceGetFieldValues(handle, fields):
    assert fields == [90]
    return [Facts(nvmlReturn=0, value=Facts(uiVal=25000))]
def nvmlDeviceGetTopologyCommonAncestor(one, other): return 40 if (one, other) == (0, 2) else 50
"""


def run(folder: Path, library: str | None, call: str = CALL) -> subprocess.CompletedProcess[str]:
    if library is not None:
        (folder / "pynvml.py").write_text(library, encoding="utf-8")
    else:
        (folder / "pynvml.py").write_text("raise ImportError('not installed')", encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    command = [sys.executable, "-P", "-m", MODULE, call]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)


def test_a_missing_library_is_not_told_by_its_status(tmp_path: Path) -> None:
    for library in (None, NOT_THERE):
        done = run(tmp_path, library)
        assert (done.returncode, done.stdout) == (69, "")


def test_a_driver_that_is_not_loaded_is_a_missing_library(tmp_path: Path) -> None:
    done = run(tmp_path, NO_DRIVER)
    assert done.returncode == 0
    assert json.loads(done.stdout) == {"error": "Failed to initialize NVML: Driver Not Loaded"}
    assert "error" in json.loads(run(tmp_path, NO_DRIVER, "reset").stdout)


def test_one_gpu_that_is_lost_takes_the_others_with_it(tmp_path: Path) -> None:
    done = run(tmp_path, MACHINE)
    assert done.returncode == 0, done.stderr
    reply: dict[str, Any] = json.loads(done.stdout)
    assert reply["errors"] == [{"index": 1, "error": "GPU is lost"}]
    recording = ProbeRecording(libraries={f"{MODULE}:{CALL}": done.stdout})
    report = CudaDetector().detect(recording.replay())
    assert (report.state, report.reason) == ("partial", "GPU 1: GPU is lost")
    first, second, third, mig = report.accelerators
    assert [one.ids.index for one in (first, second, third)] == [0, 2, 3]
    assert [one.ids.minor for one in (first, second, third)] == [7, 5, 4]
    assert (first.memory_total_bytes, first.utilisation_percent, first.driver_version) == (
        80 * 2**30,
        42,
        "590.48.01",
    )
    assert (first.health, second.health, third.utilisation_percent) == ("ok", "failed", None)
    assert (
        second.health_reason
        == "a memory row could not be remapped; 5 uncorrected ECC errors since the driver was loaded"
    )
    assert (mig.name, mig.memory_total_bytes, mig.compute_units) == (
        "NVIDIA H100 MIG 1g.10gb",
        10 * 2**30,
        16,
    )
    assert mig.slice_of == third.ids.uuid
    assert dict(first.figures)["cuda_cores"].value == 16896
    kinds = {(link.source, link.destination): link.kind for link in report.links}
    uuid = first.ids.uuid, second.ids.uuid, third.ids.uuid
    assert kinds == {(uuid[0], uuid[1]): "NV3", (uuid[0], uuid[2]): "SYS", (uuid[1], uuid[2]): "SYS"}
    nvlink = next(link for link in report.links if link.kind == "NV3")
    assert nvlink.bandwidth is not None
    assert nvlink.bandwidth.value == 75.0
