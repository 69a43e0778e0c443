"""What NVIDIA's driver, tools and frameworks say when something is wrong: which message is which kind of error."""

from __future__ import annotations

import re

from sage_infer_contracts.detecting.text import lines
from sage_infer_contracts.engines.device_errors import ErrorTable, KnownError

ERRORS = ErrorTable(
    errors=(
        KnownError(
            pattern=r"couldn't communicate with the NVIDIA driver",
            kind="driver",
            advice="install the driver, or load it: modprobe nvidia",
            source="nvidia-smi; three public posts with the same text",
        ),
        KnownError(
            pattern=r"Driver/library version mismatch",
            kind="version_mismatch",
            advice="the loaded kernel module is older than the library: reload it or reboot",
            source="nvidia-smi, exit status 18; mozilla/translations issue 1167",
        ),
        KnownError(
            pattern=r"GPU is lost|has fallen off the bus|GPU requires reset",
            kind="lost_device",
            advice="reset the GPU or reboot; if it comes again, reseat or replace the card",
            source="nvidia-smi: JosephKJ/OWOD issue 81; kernel log, Xid 79; a cell of its CSV",
        ),
        KnownError(
            pattern=r"Unable to determine the device handle for GPU",
            kind="lost_device",
            advice="see the kernel log for Xid messages of this address",
            source="nvidia-smi: NVIDIA/open-gpu-kernel-modules issue 387, xxd3vin/workspace issue 19",
        ),
        KnownError(
            pattern=r"Failed to initialize NVML: (?:Insufficient Permissions|No Permission)",
            kind="permission",
            advice="the user, or the container's policy, may not open /dev/nvidia*",
            source="nvidia-smi",
        ),
        KnownError(
            pattern=r"Failed to initialize NVML: (?:Driver Not Loaded|Unknown Error)|NVMLError_DriverNotLoaded",
            kind="driver",
            advice="load the driver: modprobe nvidia; in a container, start it again with the GPUs",
            source="nvmlErrorString of NVML_ERROR_DRIVER_NOT_LOADED and NVML_ERROR_UNKNOWN in nvml.h",
        ),
        KnownError(
            pattern=r"libnvidia-ml\.so[.\d]*: cannot open shared object file|NVMLError_LibraryNotFound"
            r"|couldn't find libnvidia-ml\.so",
            kind="driver",
            advice="install the driver's libraries; in a container, use NVIDIA's container toolkit",
            source="dlopen's message for the library that nvidia-ml-py loads; nvidia-smi",
        ),
        KnownError(
            pattern=r"NVIDIA driver on your system is too old|CUDA driver version is insufficient",
            kind="version_mismatch",
            advice="update the driver, or install a build of torch for an older CUDA",
            source="torch.cuda; cudaErrorInsufficientDriver",
        ),
        KnownError(
            pattern=r"no kernel image is available for execution on the device",
            kind="version_mismatch",
            advice="this build of torch has no code for the GPU's compute capability: install one that has",
            source="cudaErrorNoKernelImageForDevice",
        ),
        KnownError(
            pattern=r"Torch not compiled with CUDA enabled",
            kind="version_mismatch",
            advice="install a build of torch for CUDA",
            source="torch.cuda (vllm issue 6655)",
        ),
        KnownError(
            pattern=r"Found no NVIDIA driver on your system|no CUDA-capable device is detected",
            kind="driver",
            advice="install the driver, or see whether CUDA_VISIBLE_DEVICES hides every GPU",
            source="torch.cuda; cudaErrorNoDevice",
        ),
        KnownError(
            pattern=r"system not yet initialized",
            kind="driver",
            advice="start nvidia-fabricmanager, in the driver's version: NVSwitch machines need it",
            source="cudaErrorSystemNotReady, error 802",
        ),
        KnownError(
            pattern=r"uncorrectable ECC error encountered",
            kind="lost_device",
            advice="restart the process and reset the GPU; if it comes again, replace the card",
            source="cudaErrorECCUncorrectable",
        ),
        KnownError(
            pattern=r"CUDA out of memory|CUDA error: out of memory",
            kind="out_of_memory",
            advice="ask for a smaller KV cache, batch or model",
            source="torch.OutOfMemoryError of torch.cuda; cudaErrorMemoryAllocation",
        ),
        KnownError(
            pattern=r"Watchdog caught collective operation timeout",
            kind="timeout",
            advice="another rank failed or hangs: see its log first",
            source="ProcessGroupNCCL of torch",
        ),
    )
)
"""Messages by what stays the same in them; ids are those of public files in which they were seen."""

_HANDLE = re.compile(
    r"Unable to determine the device handle for (?i:gpu)\s*"
    r"([0-9]{1,3}(?=:\s|\s))?:?\s*([0-9A-Fa-f]{2,8}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.[0-7])?"
    r"\s*:?\s*(GPU [a-z ]{3,30}|[A-Z][a-z]+(?: [A-Z][a-z]+)?)?",
    re.ASCII,
)
"""Some versions name the GPU's number, some its address, some both; in some no space is before it."""
_TOOL_SAYS = re.compile(
    r"(?:NVIDIA-SMI has failed because|NVIDIA-SMI couldn't find|Failed to initialize NVML|NVML library version"
    r"|No devices were found|Field \"[\w.]{1,80}\" is not a valid field|GPU is lost(?!\]))[^|]{0,200}",
    re.ASCII,
)


def said_in(text: str) -> tuple[str, ...]:
    """Return what the tool's output says went wrong, GPUs that it could not open first; nothing where it says nothing.

    A message that was wrapped is put together again; rows of tables are not looked at.
    """
    plain = " ".join(
        line.strip()
        for line in lines(text + "\n")
        if line.count("|") < 2 and not line.lstrip().startswith(("|", "+", "<"))
    )
    lost = [
        f"GPU {' at '.join(filter(None, match.groups()[:2])) or 'unknown'}: {(match[3] or 'cannot be opened').strip()}"
        for match in _HANDLE.finditer(plain)
    ]
    if lost:
        return tuple(dict.fromkeys(lost))
    first = _TOOL_SAYS.search(plain)
    return (" ".join(first[0].split()),) if first else ()
