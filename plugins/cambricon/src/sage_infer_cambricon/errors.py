"""What Cambricon's software says when something is wrong.

torch_mlu raises the names of errors and no codes ("CNRT error: invalid argument."), so all is told by the message.
"""

from __future__ import annotations

from sage_infer_contracts.engines.device_errors import ErrorTable, KnownError

_CNDEV = "cndev.h, cndevRet_t, in Cambricon/cambricon-k8s-device-plugin device-plugin/pkg/cndev/include"
_DRIVER = "install or load the driver (modprobe cambricon-drv) and look at dmesg"

ERRORS = ErrorTable(
    errors=(
        KnownError(
            pattern=r"MLU out of memory|cnrtErrorNoMem",
            kind="out_of_memory",
            advice="ask for less memory; with ECC on, a card has less than its data sheet says",
            source="torch_mlu's caching allocator, TORCH_CHECK_WITH(OutOfMemoryError)",
        ),
        KnownError(
            pattern=r"CNDEV_ERROR_NO_PERMISSION|no permission",
            kind="permission",
            advice="the process needs /dev/cambricon_ctl and /dev/cambricon_devN",
            source=_CNDEV,
        ),
        KnownError(
            pattern=r"CNDEV_ERROR_LOW_DRIVER_VERSION|driver version low|CNDEV_ERROR_UNSUPPORTED_API_VERSION"
            r"|API version is not support",
            kind="version_mismatch",
            advice="the container's Neuware is newer than the host's driver: match the two",
            source=_CNDEV,
        ),
        KnownError(
            pattern=r"lib(?:cndev|cnrt|cndrv|cnnl|mluops|cncl)[\w.]*: cannot open shared object file",
            kind="version_mismatch",
            advice="install the Neuware libraries that this build was made with and set NEUWARE_HOME",
            source="PaddlePaddle/PaddleCustomDevice#1601",
        ),
        KnownError(
            pattern=r"CN_INVOKE_ERROR_EXECUTED_TIMEOUT|CNDEV_ERROR_TIMEOUT",
            kind="timeout",
            advice="a kernel did not end; the process has to be restarted",
            source="log of a BANG C evaluation; cndev.h",
        ),
        KnownError(
            pattern=r"CNDEV_ERROR_NO_DRIVER|no driver\b|can't initialize CNDEV|"
            r"CNRT error: (?:initialization error|failed to call the driver-api function)",
            kind="driver",
            advice=_DRIVER,
            source=f"{_CNDEV}; torch_mlu/mlu/__init__.py",
        ),
        KnownError(
            pattern=r"\bcard\b.{0,40}\bnot existed|CNDEV_ERROR_NO_DEVICES|no MLU devices?\b|CNDEV_ERROR_IN_PROBLEM",
            kind="lost_device",
            advice="compare lspci -d cabc: with cnmon; a card that fell off the bus needs its host restarted",
            source=f"'not existed': published check scripts; {_CNDEV}",
        ),
        KnownError(
            pattern=r"CNRT error: invalid device ordinal",
            kind="unknown",
            advice="the process may use fewer devices than were asked for: see MLU_VISIBLE_DEVICES",
            source="Paddle's mlu_enforce_test, cnrtErrorDeviceInvalid",
        ),
        KnownError(
            pattern=r"CNRT error: invalid argument",
            kind="unknown",
            advice="a call was wrong; trying again does not help",
            source="seen on MLU590 for a device number that is too large",
        ),
    )
)
"""Known messages, the most telling first."""
