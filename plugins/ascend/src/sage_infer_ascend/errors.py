"""What Ascend's driver, tools and torch extension say when something is wrong: messages that were seen, by kind.

``source``: a repository's issue, or ``id N``, an indexed public page.
"""

from __future__ import annotations

from sage_infer_contracts.engines.device_errors import ErrorTable, KnownError

_ACCESS = (
    "run it as root or as a member of the driver's group (HwHiAiUser), give a container /dev/davinciN, "
    "/dev/davinci_manager, /dev/devmm_svm and /dev/hisi_hdc, and restart the machine if the driver or firmware was "
    "upgraded since it started"
)

ERRORS = ErrorTable(
    errors=(
        KnownError(
            pattern=r"dcmi module initialize failed.*-8005|error code: -8005",
            kind="driver",
            advice=_ACCESS,
            source="npu-smi, run by an ordinary user, or after an upgrade of the driver without a restart",
        ),
        KnownError(
            pattern=r"dcmi.*failed, because the device is used|ret is -8020\b",
            kind="permission",
            advice="another container or process holds one of the NPUs that this one is given: end it, or give this "
            "one others; some setups need --privileged",
            source="Ascend/cann-container-image#46",
        ),
        KnownError(
            pattern=r"dcmi (module |model )?initialized? failed|DrvMngGetConsoleLogLevel failed",
            kind="driver",
            advice=_ACCESS,
            source="npu-smi and the driver's library in public reports",
        ),
        KnownError(
            pattern=r"aclInit.*error code is 507899|get platform info failed, drvErr=(4|87)\b",
            kind="permission",
            advice=_ACCESS,
            source="CANN where /dev/davinci* may not be opened, in public reports",
        ),
        KnownError(
            pattern=r"Built for SOC version \S+, but need running on",
            kind="version_mismatch",
            advice="build vllm-ascend with SOC_VERSION set to the chip that is here",
            source="zhangxinyuehfad/vllm-ascend:vllm_ascend/__init__.py",
        ),
        KnownError(
            pattern=r"lost heartbeat|error code is 507010|runtime result = 507010",
            kind="lost_device",
            advice="reset the NPU, or restart the machine, and look at dmesg",
            source="vllm-project/vllm-ascend#8186",
        ),
        KnownError(
            pattern=r"Device not found or invalid|\bEL0001\b|driver error:no valid device",
            kind="lost_device",
            advice="compare npu-smi info and lspci: one of the cards is gone",
            source="vllm-project/vllm-ascend#8186",
        ),
        KnownError(
            pattern=r"lib(ascend_hal|drvdsmi_host|c_sec)\.so: cannot open shared object file",
            kind="driver",
            advice="install the driver, or put its folders /usr/local/Ascend/driver/lib64/driver and .../common into "
            "LD_LIBRARY_PATH, as CANN's set_env.sh does",
            source="the dynamic loader, in public reports of containers without the driver's folders",
        ),
        KnownError(
            pattern=r"NPU out of memory",
            kind="out_of_memory",
            advice="lower the share of memory for KV, the context length or the batch size",
            source="torch_npu's allocator, in public reports",
        ),
        KnownError(
            pattern=r"\bEI0006\b|Getting socket times out",
            kind="timeout",
            advice="see that every rank started, and that the NPUs' network ports are up (hccn_tool -i N -link -g)",
            source="HCCL, in public reports",
        ),
        KnownError(
            pattern=r"error code is 5070(34|46)|stream sync timeout|vector core (execution timed out|timeout)",
            kind="timeout",
            advice="an operator or a collective did not end; the plog below ~/ascend/log says which",
            source="Ascend/pytorch#62",
        ),
    )
)


def advice_for(said: str) -> str | None:
    """Return what can be done about a message of the driver or of ``npu-smi``; None where it is none that is known."""
    known = ERRORS.find(said)
    return known.advice or None if known is not None else None


def rank_of(said: str) -> int | None:
    """Return the place of a message in the table; None where it is not in it."""
    known = ERRORS.find(said)
    return ERRORS.errors.index(known) if known in ERRORS.errors else None
