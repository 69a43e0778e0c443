"""What nvidia-smi prints of GPUs: CSV, the list, the table of several versions, ``topo -m`` and ``nvlink -s``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ..asking import FIELDS
from .gpus import Gpu, Mig

DRIVER = "590.48.01"
UNITS = {"memory.total": "MiB", "memory.used": "MiB", "utilization.gpu": "%"}


def csv_text(gpus: Sequence[Gpu], fields: Sequence[str] = FIELDS, driver: str = DRIVER) -> str:
    """Return ``--query-gpu=... --format=csv``: titles with units, then a line for each GPU."""
    titles = [f"{name} [{UNITS[name]}]" if name in UNITS else name for name in fields]
    rows = [[_cell(gpu, name, driver) for name in fields] for gpu in gpus]
    return "".join(", ".join(row) + "\n" for row in [titles, *rows])


def _cell(gpu: Gpu, field: str, driver: str) -> str:
    ecc = gpu.uncorrected is not None
    cells = {
        "index": str(gpu.index),
        "uuid": gpu.uuid,
        "pci.bus_id": gpu.bus_id,
        "name": gpu.name,
        "driver_version": driver,
        "memory.total": f"{gpu.memory_mib} MiB",
        "memory.used": f"{gpu.used_mib} MiB",
        "utilization.gpu": "[N/A]" if gpu.busy_percent is None else f"{gpu.busy_percent} %",
        "ecc.mode.current": "Enabled" if ecc else "[N/A]",
        "ecc.errors.uncorrected.volatile.total": str(gpu.uncorrected) if ecc else "[N/A]",
        "mig.mode.current": gpu.mig_mode,
        "compute_cap": gpu.compute_capability,
    }
    return cells.get(field, "[N/A]")


def list_text(gpus: Sequence[Gpu]) -> str:
    """Return ``-L``: a line for each GPU, and below it one for each MIG device."""
    lines = []
    for gpu in gpus:
        lines.append(f"GPU {gpu.index}: {gpu.name} (UUID: {gpu.uuid})")
        lines += [
            f"  MIG {one.profile:<11} Device {one.number:>2}: (UUID: {one.uuid(gpu)})" for one in gpu.migs
        ]
    return "".join(f"{line}\n" for line in lines)


def table_text(gpus: Sequence[Gpu], *, style: str = "new", driver: str = DRIVER) -> str:
    """Return the plain table: ``old`` up to 530 (77 columns), ``new`` from 535 (89), ``610`` with its banner."""
    widths = (31, 22, 22) if style == "old" else (41, 24, 22)
    rule = "+" + "+".join("-" * width for width in widths) + "+"
    lines = [
        "Thu Jan  2 03:04:05 2026       ",
        "+" + "-" * (sum(widths) + 2) + "+",
        _banner(style, driver, sum(widths) + 2),
        rule.replace("+", "|", 1) if style == "old" else rule,
        *_row(widths, "GPU  Name        Persistence-M", "Bus-Id          Disp.A", "Volatile Uncorr. ECC"),
        *_row(widths, "Fan  Temp   Perf   Pwr:Usage/Cap", "Memory-Usage", "GPU-Util  Compute M."),
        *_row(widths, "", "", "MIG M."),
        "|" + "+".join("=" * width for width in widths) + "|",
    ]
    for gpu in gpus:
        lines += [*_gpu_rows(widths, gpu), rule]
    lines += ["", *_mig_table(gpus), *_processes(sum(widths) + 2)]
    return "".join(f"{line}\n" for line in lines)


def _banner(style: str, driver: str, width: int) -> str:
    kernel, user = ("KMD", "CUDA UMD") if style == "610" else ("Driver", "CUDA")
    text = f" NVIDIA-SMI {driver}    {kernel} Version: {driver}    {user} Version: 13.1"
    return f"|{text:<{width}}|"


def _row(widths: Sequence[int], *cells: str) -> list[str]:
    """Return one line; the last two cells end at the right, as the tool sets them."""
    first, *rest = cells
    padded = [
        f" {first:<{widths[0] - 1}}",
        *(f"{cell:>{width - 1}} " for cell, width in zip(rest, widths[1:], strict=True)),
    ]
    return ["|" + "|".join(cell[:width] for cell, width in zip(padded, widths, strict=True)) + "|"]


def _gpu_rows(widths: Sequence[int], gpu: Gpu) -> list[str]:
    room = widths[0] - 12
    name = gpu.name if len(gpu.name) <= room else gpu.name[: room - 3] + "..."
    busy = "N/A" if gpu.busy_percent is None else f"{gpu.busy_percent}%"
    ecc = "N/A" if gpu.uncorrected is None else "On" if gpu.mig else str(gpu.uncorrected)
    return [
        *_row(widths, f"{gpu.index:>3}  {name:<{room}} On", f"{gpu.bus_id} Off", ecc),
        *_row(
            widths,
            "N/A   36C    P0    78W / 700W",
            f"{gpu.used_mib}MiB / {gpu.memory_mib}MiB",
            f"{busy}      Default",
        ),
        *_row(widths, "", "", gpu.mig_mode.strip("[]")),
    ]


def _mig_table(gpus: Sequence[Gpu]) -> list[str]:
    slices = [(gpu, one) for gpu in gpus for one in gpu.migs]
    if not slices:
        return []
    widths = (18, 34, 11, 23)
    rule = "+" + "+".join("-" * width for width in widths) + "+"
    lines = [
        "+" + "-" * 89 + "+",
        f"|{' MIG devices:':<89}|",
        rule,
        *_row(widths, "GPU  GI  CI  MIG", "Shared Memory-Usage", "Vol", "Shared"),
        *_row(widths, "     ID  ID  Dev", "Shared BAR1-Usage", "SM     Unc", "CE ENC  DEC  OFA  JPG"),
        *_row(widths, "", "", "ECC", ""),
        "|" + "+".join("=" * width for width in widths) + "|",
    ]
    for gpu, one in slices:
        lines += [*_mig_rows(widths, gpu, one), rule]
    return [*lines, ""]


def _mig_rows(widths: Sequence[int], gpu: Gpu, one: Mig) -> list[str]:
    ids = f"{gpu.index:>2} {one.gpu_instance:>4} {one.compute_instance:>3} {one.number:>3}"
    return [
        *_row(
            widths,
            ids,
            f"{one.used_mib}MiB / {one.memory_mib}MiB",
            f"{one.processors:<5} 0",
            "3   0    3    0    3",
        ),
        *_row(widths, "", "0MiB / 59237MiB", "", ""),
    ]


def _processes(width: int) -> list[str]:
    rows = (
        "Processes:", " GPU   GI   CI              PID   Type   Process name                GPU Memory",
        "       ID   ID                                                           Usage",
    )  # fmt: skip
    line = "+" + "-" * width + "+"
    return [
        line,
        *(f"| {row:<{width - 1}}|" for row in rows),
        "|" + "=" * width + "|",
        f"| {'   0   N/A  N/A            2165      C   /usr/bin/serving            4096MiB':<{width - 1}}|",
        line,
    ]


def topology_text(
    gpus: Sequence[Gpu], kind: Callable[[Gpu, Gpu], str] | str = "SYS", nics: Sequence[str] = ()
) -> str:
    """Return ``topo -m``: tabs, an underlined line of titles, rows of network cards, and the legend."""
    link = (lambda one, other: kind) if isinstance(kind, str) else kind
    names = [*(f"GPU{gpu.index}" for gpu in gpus), *(f"NIC{number}" for number in range(len(nics)))]
    lines = ["\t\x1b[4m" + "\t".join([*names, "CPU Affinity", "NUMA Affinity", "GPU NUMA ID"]) + "\x1b[0m"]
    for gpu in gpus:
        cells = [" X " if one is gpu else link(gpu, one) for one in gpus] + ["NODE" for _ in nics]
        cpus = f"{gpu.numa_node * 48}-{gpu.numa_node * 48 + 47},{gpu.numa_node * 48 + 96}-{gpu.numa_node * 48 + 143}"
        lines.append("\t".join([f"GPU{gpu.index}", *cells, cpus, str(gpu.numa_node), "\tN/A"]))
    for number in range(len(nics)):
        cells = ["NODE" for _ in gpus] + [" X " if other == number else "PIX" for other in range(len(nics))]
        lines.append("\t".join([f"NIC{number}", *cells, "\t", "\t"]))
    legend = ["", "Legend:", "", "  X    = Self", "  NV#  = Connection traversing a bonded set of # NVLinks"]
    named = (
        ["", "NIC Legend:", "", *(f"  NIC{number}: {name}" for number, name in enumerate(nics))]
        if nics
        else []
    )
    return "".join(f"{line}\n" for line in [*lines, *legend, *named])


def nvlink_text(gpus: Sequence[Gpu], links: Mapping[int, float | None]) -> str:
    """Return ``nvlink -s``: below each GPU its links, each with GB/s or inactive."""
    lines = []
    for gpu in gpus:
        lines.append(f"GPU {gpu.index}: {gpu.name} (UUID: {gpu.uuid})")
        if gpu.mig:
            lines.append("Nvlink queries are not supported for Devices in MIG mode")
            continue
        lines += [
            f"\t Link {link}: {'<inactive>' if rate is None else f'{rate:g} GB/s'}"
            for link, rate in links.items()
        ]
    return "".join(f"{line}\n" for line in lines)
