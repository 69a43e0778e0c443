"""Machines the kit makes: an ordinary Linux host, or nothing much. No vendor's formats are known here."""

from __future__ import annotations

from sage_infer_contracts.probe import CommandResult, ProbeRecording

from ..suite import Choices
from .shown import Shown

ERRORS = (
    "cannot reach the driver: make sure that it is installed and running",
    "initialization failed: driver/library version mismatch",
    "module initialize failed. ret is -8005",
    "ioctl: Permission denied",
    "Segmentation fault (core dumped)",
    "unexpected error 0x3f while opening the control node",
    "error while loading shared libraries: libdriver.so.1: cannot open shared object file",
    "初始化失败: 驱动未响应",
)
"""What tools say when the driver does not answer. None of them says that there is no device."""
STATUSES = (1, 2, 9, 15, 18, 126, 127, 134, 139, 255, -6, -9, -11)
NOISE = (
    "[INFO supervisor::limiter] won manager election, polling every 250 ms",
    "2026-01-02 03:04:05.678 [4711] WARNING persistence mode is off",
    "WARNING: the driver package may not be completely installed",
    "connect to global registry at /var/run/registry.sock",
    "ERROR: ld.so: object 'libshim.so' from LD_PRELOAD cannot be preloaded: ignored.",
    "Loading, please wait ...",
    "+------------------------------------------------------------------+",
    "==================================================================",
    "| Processes:                                                       |",
    "No running processes found",
    "Thu Jan  2 03:04:05 2026",
    "[warn] fallback to libhal 2 of 3, took 128 ms",
    "警告: 未找到配置文件, 使用默认值",
    "DrvMngGetConsoleLogLevel failed. (ret=4)",
)
"""Lines that loaders, log levels and preloaded libraries put between those of a tool. None looks like a device."""
JUNK = (
    "",
    "\n\n\n",
    " ",
    "{}",
    "[]",
    "null",
    "{",
    "Usage: tool [options]\n  -h, --help  show this help and exit\n",
    "<html><body><h1>502 Bad Gateway</h1></body></html>\n",
    "\x00\x01\x02\x7fELF\ufffd\ufffd\ufffd",
    "|||||||\n|||||||\n+++++++\n",
    ",,,,,,,,,,,,,,,,\n,,,,,,,,,,,,,,,,\n",
    "错误: 参数无效\n",
    "²³¹ ½ ⅷ ٣ ۴\n",
    "- - - - -\n-1 -1 -1 -1\nnan inf 1e999 0x\n",
    "\x1b[2J\x1b[H",
)
_SETTINGS = ("bare", "unknown", "failing", "hanging", "noisy", "junk")


def draw_host(choices: Choices) -> dict[str, str | None]:
    """Return the usual files of a Linux host: processors and memory."""
    cpus, gib = choices.one_of([1, 2, 6, 64]), choices.one_of([1, 16, 512])
    if choices.chance(30):
        block = "processor\t: {}\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd\nCPU implementer\t: 0x48\nCPU part\t: 0xd01\n"
    else:
        block = (
            "processor\t: {0}\nvendor_id\t: GenuineKit\nmodel name\t: Kit Processor 8480+\nphysical id\t: 0\n"
            "core id\t\t: {0}\ncpu cores\t: 1\nflags\t\t: fpu sse2 avx2\n"
        )
    kib = gib * 2**20
    return {
        "/proc/cpuinfo": "\n".join(block.format(cpu) for cpu in range(cpus)),
        "/sys/devices/system/cpu/online": f"0-{cpus - 1}\n" if cpus > 1 else "0\n",
        "/proc/meminfo": f"MemTotal:       {kib} kB\nMemFree: 5 kB\nMemAvailable:   {kib // 2} kB\n",
        "/proc/sys/kernel/arch": "x86_64\n",
        "/proc/self/status": f"Name:\tpython\nCpus_allowed_list:\t0-{cpus - 1}\n",
    }


def draw_machine(choices: Choices) -> tuple[str, Shown]:
    """Return a machine without any accelerator that is known to be there, and its name."""
    setting = choices.one_of(_SETTINGS)
    host = choices.chance(50)
    recording = ProbeRecording(files=draw_host(choices) if host else {})
    name = f"{'a host' if host else 'nothing'}, and everything else is {setting}"
    return name, Shown(
        recording=recording, bare=setting == "bare", any_command=_any_command(choices, setting)
    )


def _any_command(choices: Choices, setting: str) -> CommandResult | None:
    if setting == "bare":
        return CommandResult(missing=True)
    if setting == "unknown":
        return None
    if setting == "failing":
        message = choices.one_of(ERRORS)
        return CommandResult(stderr=message, exit_status=choices.one_of(STATUSES))
    if setting == "hanging":
        return CommandResult(timed_out=True)
    text = (
        choices.one_of(JUNK)
        if setting == "junk"
        else "\n".join(choices.one_of(NOISE) for _ in range(8)) + "\n"
    )
    return CommandResult(stdout=text, exit_status=choices.one_of([0, 0, None, 1]))
