"""What Hygon's driver, tools and torch build say when something is wrong, each message with where it was seen."""

from __future__ import annotations

from sage_infer_contracts.engines.device_errors import ErrorTable, KnownError

_LOAD = "load the driver (modprobe hycu, or hydcu) and see dmesg"
_ENVIRONMENT = (
    "source /opt/dtk/env.sh in the shell that starts sage-infer, and mount /opt/hyhal into containers"
)
_LIBRARY = "Hygon dcu-dcgm, names of the library's codes"

ERRORS = ErrorTable(
    errors=(
        KnownError(
            pattern=r"driver not initialized \(\w+ not found in modules\)",
            kind="driver",
            advice=_LOAD,
            source="rocm_smi.py, from which hy-smi is made (ROCm/ROCm#4926)",
        ),
        KnownError(
            pattern=r"\b(?:rock|hygon) module is not loaded",
            kind="driver",
            advice=_LOAD,
            source="rocminfo (ROCm/ROCm#1656); DTK's says 'hygon module is loaded' where it is",
        ),
        KnownError(
            pattern=r"/dev/m?kfd[^\n]{0,40}permission denied|not (?:a )?member of \"?(?:video|render)\"? group",
            kind="permission",
            advice="add the user to the groups video and render, or let the container have /dev/kfd and /dev/dri",
            source="rocminfo, CheckInitError",
        ),
        KnownError(
            pattern=r"unable to open /dev/m?kfd",
            kind="driver",
            advice=f"{_LOAD}; a container needs --device /dev/kfd --device /dev/mkfd --device /dev/dri",
            source="rocminfo (ROCm/ROCm#1361)",
        ),
        KnownError(
            pattern=r"lib(?:galaxyhip|hsa-runtime64|rocm_smi64|hydmi)\.so[\w.]*: cannot open shared object",
            kind="driver",
            advice=_ENVIRONMENT,
            source="torch and triton of DTK without its environment",
        ),
        KnownError(
            pattern=r"version HIP not defined in file libgalaxyhip|LIB_RM_VERSION_MISMATCH",
            kind="version_mismatch",
            advice="take torch, DTK and the driver from one line of Hygon's list of releases",
            source=f"torch of another DTK; {_LIBRARY}",
        ),
        KnownError(
            pattern=r"invalid device function|no kernel image is available|hipErrorNoBinaryForGpu",
            kind="version_mismatch",
            advice="this build has no code for the chip's architecture: take the build for its gfx number",
            source="HIP runtime (ROCm/legacy-rocm-build#2536)",
        ),
        KnownError(
            pattern=r"no ROCm-capable device is detected|hipErrorNoDevice|No HIP GPUs are available",
            kind="driver",
            advice="see that hy-smi shows the card and that no HIP_ or ROCR_VISIBLE_DEVICES hides it",
            source="HIP runtime; torch.cuda of HIP builds",
        ),
        KnownError(
            pattern=r"GPU_IS_LOST|RESET_REQUIRED",
            kind="lost_device",
            advice="stop what uses the card and reset it; replace it if that comes again",
            source=_LIBRARY,
        ),
        KnownError(pattern=r"NO_PERMISSION", kind="permission", source=_LIBRARY),
        KnownError(pattern=r"DRIVER_NOT_LOADED", kind="driver", advice=_LOAD, source=_LIBRARY),
        KnownError(
            pattern=r"HSA_STATUS_ERROR_OUT_OF_RESOURCES",
            kind="driver",
            advice="the runtime cannot reach the driver: see who may use /dev/kfd, and dmesg",
            source="rocminfo (ROCm/ROCm#1361, ROCm/legacy-rocm-build#923)",
        ),
        KnownError(
            pattern=r"Failed to infer device type",
            kind="driver",
            advice="vLLM found no platform: this is no build of Hygon's, or amdsmi of DTK finds no device",
            source="vLLM on DCU",
        ),
    )
)
