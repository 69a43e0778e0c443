"""The probe script through NVIDIA's own binding, in front of a small library in C that stands in for the driver's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from sage_infer_contracts.probe import ProbeRecording
from sage_infer_cuda.detector import CudaDetector
from sage_infer_cuda.parsing.nvml import CALL, MODULE
from sage_infer_cuda.versions import NVIDIA_ML_PY

COMPILER = shutil.which("cc") or shutil.which("gcc")
LIBRARY = r"""
#include <stdio.h>
#include <string.h>
typedef long handle;  /* GPU n is n + 1, its MIG device 100 more; GPU 1 is lost, GPU 2 part of a system-on-chip */
enum { OK = 0, NOT_SUPPORTED = 3, NOT_FOUND = 6, LOST = 15 };
int nvmlInitWithFlags(unsigned flags) { return OK; }
int nvmlInit_v2(void) { return OK; }
int nvmlShutdown(void) { return OK; }
const char *nvmlErrorString(int error) { return error == LOST ? "GPU is lost" : "Not Supported"; }
int nvmlSystemGetDriverVersion(char *text, unsigned size) { strncpy(text, "590.48.01", size); return OK; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 3; return OK; }
int nvmlDeviceGetHandleByIndex_v2(unsigned n, handle *found) { *found = n + 1; return n == 1 ? LOST : OK; }
int nvmlDeviceGetUUID(handle gpu, char *text, unsigned size) {
    if (gpu == 3) return NOT_SUPPORTED;
    snprintf(text, size, "%s-00000000-0000-0000-0000-%012ld", gpu > 100 ? "MIG" : "GPU", gpu);
    return OK;
}
int nvmlDeviceGetName(handle gpu, char *text, unsigned size) {
    strncpy(text, gpu == 3 ? "Orin (nvgpu)" : gpu > 100 ? "NVIDIA H200 MIG 1g.18gb" : "NVIDIA H200", size);
    return OK;
}
struct pci { char legacy[16]; unsigned domain, bus, device, id, subsystem; char bus_id[32]; };
int nvmlDeviceGetPciInfo_v3(handle gpu, struct pci *info) {
    if (gpu == 3) return NOT_SUPPORTED;
    memset(info, 0, sizeof *info);
    snprintf(info->bus_id, sizeof info->bus_id, "00000009:%02lX:00.0", gpu);
    return OK;
}
int nvmlDeviceGetMinorNumber(handle gpu, unsigned *minor) { *minor = 7; return gpu == 3 ? NOT_SUPPORTED : OK; }
struct memory { unsigned version; unsigned long long total, reserved, free, used; };
int nvmlDeviceGetMemoryInfo_v2(handle gpu, struct memory *info) {
    if (gpu == 3) return NOT_SUPPORTED;
    info->total = (gpu > 100 ? 16384ULL : 143771ULL) << 20; info->used = 5ULL << 20;
    return OK;
}
int nvmlDeviceGetMigMode(handle gpu, unsigned *now, unsigned *next) {
    *now = *next = 1;
    return gpu == 3 ? NOT_SUPPORTED : OK;
}
int nvmlDeviceGetMaxMigDeviceCount(handle gpu, unsigned *count) { *count = 2; return OK; }
int nvmlDeviceGetMigDeviceHandleByIndex(handle gpu, unsigned n, handle *found) {
    *found = gpu + 100;
    return n == 1 ? OK : NOT_FOUND;
}
int nvmlDeviceGetGpuInstanceId(handle gpu, unsigned *id) { *id = 9; return OK; }
int nvmlDeviceGetComputeInstanceId(handle gpu, unsigned *id) { *id = 0; return OK; }
int nvmlDeviceGetNvLinkState(handle gpu, unsigned link, int *active) {
    *active = 1;
    return link < 18 ? OK : NOT_SUPPORTED;
}
"""


def run(folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **({"LD_LIBRARY_PATH": str(folder)} if folder else {})}
    command = [sys.executable, "-P", "-m", MODULE, CALL]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)


def test_the_binding_is_of_no_tested_version() -> None:
    release = [int(part) for part in version(NVIDIA_ML_PY.distribution).split(".")]
    assert [12, 535] <= release < [int(NVIDIA_ML_PY.below or 0)]


def test_a_machine_without_the_library_ends_otherwise() -> None:
    done = run()
    assert done.returncode == 69 or json.loads(done.stdout), done.stderr


@pytest.mark.skipif(COMPILER is None, reason="no C compiler")
def test_the_binding_is_called_otherwise_than_it_works(tmp_path: Path) -> None:
    source = tmp_path / "library.c"
    source.write_text(LIBRARY, encoding="utf-8")
    library = str(tmp_path / "libnvidia-ml.so.1")
    subprocess.run([str(COMPILER), "-shared", "-fPIC", "-o", library, str(source)], check=True, timeout=60)
    done = run(tmp_path)
    assert done.returncode == 0, done.stderr
    report = CudaDetector().detect(ProbeRecording(libraries={f"{MODULE}:{CALL}": done.stdout}).replay())
    assert (report.state, report.reason) == ("partial", "GPU 1: GPU is lost")
    gpu, mig, orin = report.accelerators
    assert (gpu.ids.bdf, gpu.ids.minor, gpu.ids.uuid) == (
        "0009:01:00.0",
        7,
        "GPU-00000000-0000-0000-0000-000000000001",
    )
    assert (gpu.name, gpu.memory_total_bytes, gpu.memory_used_bytes) == (
        "NVIDIA H200",
        143771 * 2**20,
        5 * 2**20,
    )
    assert (mig.name, mig.memory_total_bytes, mig.slice_of) == (
        "NVIDIA H200 MIG 1g.18gb",
        2**34,
        gpu.ids.uuid,
    )
    assert mig.features == ("mig_device:1", "mig_instance:9/0")
    assert (orin.name, orin.ids.index, orin.memory_total_bytes) == ("Orin (nvgpu)", 2, None)
