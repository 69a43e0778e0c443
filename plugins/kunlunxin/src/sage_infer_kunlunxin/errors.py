"""What Kunlunxin's driver, runtime and torch build say when something is wrong, each message with where it was seen."""

from __future__ import annotations

from sage_infer_contracts.engines.device_errors import ErrorTable, KnownError

_PADDLE = "PaddlePaddle, paddle/phi/backends/xpu/enforce_xpu.cc, xpuGetErrorString"
_REPORT = "published report of a P800 whose kernels hung (driver 5.0.21.47), kernel log"
_CODES = "Kunlunxin's XRE documentation, page of common error codes"
_XPUML = "Kunlunxin's xpuml.h, xpumlReturn_t (the library that xpu-smi asks)"
_RESET = (
    "the card is stuck: stop what uses it, reset it with xpu-smi -r -i N, and replace it if that comes again"
)

ERRORS = ErrorTable(
    errors=(
        KnownError(
            pattern=r"Device memory not enough|XPUERR_NOMEM",
            kind="out_of_memory",
            advice="lower max_sequence_length or max_batch_size, or take a smaller model",
            source=_PADDLE,
        ),
        KnownError(
            pattern=r"CPU memory not enough|XPUERR_NOCPUMEM",
            kind="out_of_memory",
            advice="free memory of the host",
            source=_PADDLE,
        ),
        KnownError(
            pattern=r"XPUML_ERROR_(?:NO_PERMISSION|OPERATING_SYSTEM)",
            kind="permission",
            advice="let this user open /dev/xpu* and /dev/xpuctrl (crw-rw-rw- by the vendor's udev rule); in a "
            "container give both with --device",
            source=_XPUML,
        ),
        KnownError(
            pattern=r"XPUML_ERROR_DRIVER_NOT_LOADED|KUNLUN driver is not (?:loaded|running)",
            kind="driver",
            advice="load it with modprobe kunlun, or install Kunlunxin's driver (XRE)",
            source=_XPUML,
        ),
        KnownError(
            pattern=r"XPUML_ERROR_LIB_RM_VERSION_MISMATCH",
            kind="version_mismatch",
            advice="the library below /usr/local/xpu is of another release than the driver: mount the host's",
            source=_XPUML,
        ),
        KnownError(
            pattern=r"XPUML_ERROR_(?:XPU_IS_LOST|RESET_REQUIRED|IRQ_ISSUE|INSUFFICIENT_POWER)",
            kind="lost_device",
            advice=_RESET,
            source=_XPUML,
        ),
        KnownError(
            pattern=r"addr_window (?:not properly set|check failed)",
            kind="driver",
            advice="the cards are not linked: xpu-smi topo -m shows PHB or SYS between them; take cards with XL links "
            "(P800 PCIe: PcieLink=1 in the module's options), or tensor_parallel_size=1",
            source="baidu/vLLM-Kunlun issue 382 (two P800 PCIe); PcieLink: Kunlunxin's guides to training on P800 PCIe",
        ),
        KnownError(
            pattern=r"Firmware version too old|XPUERR_OLDFW",
            kind="version_mismatch",
            advice="update the card's firmware to that of the installed driver",
            source=_PADDLE,
        ),
        KnownError(
            pattern=r"Unknown IOCTL command|XPUERR_NOIOC",
            kind="version_mismatch",
            advice="the runtime in this process is of another release than the host's driver",
            source=_PADDLE,
        ),
        KnownError(
            pattern=r"Error loading (?:dynamic library|func from dynamic library)|lib(?:xpurt|xpucuda|xpuml)\.so",
            kind="driver",
            advice="mount /usr/local/xpu of the host and put its so folder on LD_LIBRARY_PATH",
            source=f"{_PADDLE} (XPUERR_LDSO, XPUERR_LDSYM); library names from Kunlunxin's XRE package",
        ),
        KnownError(
            pattern=r"Initialize default context for dev -?\d+ fail",
            kind="driver",
            advice="no device is found: see that lspci shows the card (1d22: or 2057:), that the module kunlun "
            "is loaded, and that this user may open /dev/xpu* (crw-rw-rw-)",
            source=_CODES,
        ),
        KnownError(
            pattern=r"XPU runtime not properly inited|Firmware not initialized|Error init device|Error init HBM",
            kind="driver",
            advice="see that the module kunlun is loaded and dmesg has no KLRM error",
            source=_PADDLE,
        ),
        KnownError(
            pattern=r"Invalid XPU device|XPUERR_INVALID_DEVICE",
            kind="lost_device",
            advice="see that /dev/xpuN and /dev/xpuctrl are there; N is the minor number of xpu-smi -q, not the index",
            source=_PADDLE,
        ),
        KnownError(
            pattern=r"noc[ _]idle(?:\(\))? timeout|XPUERR_HWEXCEPTION|Hardware module exception|Error in PCIE"
            r"|DMA timed out|Uncorrectable ECC|Overheat|Device abnormal due to previous error",
            kind="lost_device",
            advice=_RESET,
            source=f"{_REPORT}; {_PADDLE}; {_CODES}",
        ),
        KnownError(
            pattern=r"KL_XID_KERNEL_EXCEPTION|XPUERR_KEXCEPTION|Exception in kernel execution|kl3ChannelCheckErrors"
            r"|cuapi_xpu_wait\(\) failed",
            kind="lost_device",
            advice="a program or the card is at fault; if other programs fail on the same card alone, it is the card",
            source=f"{_REPORT}; {_PADDLE}; notes in FlagGems' Kunlunxin backend (kl3ChannelCheckErrors); "
            "baidu/vLLM-Kunlun issue 475 (cuapi_xpu_wait)",
        ),
        KnownError(
            pattern=r"Kernel execution timed out|XPUERR_TIMEOUT|XPUERR_EVENTWAIT",
            kind="timeout",
            advice="see dmesg for KLRM lines of the card",
            source=f"{_PADDLE}; {_REPORT}",
        ),
        KnownError(
            pattern=r"Device is being reset, try again later",
            kind="timeout",
            advice="wait until the reset has ended",
            source=_PADDLE,
        ),
    )
)
"""Messages, not codes: the vendor's codes do not reach Python's exceptions."""
