"""What the tools print as tables and matrices, from the formats that ``parsing`` names, as wide as one wants."""

from __future__ import annotations

from collections.abc import Sequence

from .cards import Card
from .formats import DRIVER

RUNTIME = "5.0.21"


def table(
    cards: Sequence[Card],
    *,
    driver: str = DRIVER,
    widths: Sequence[int] = (31, 22, 22),
    sriov: str | None = None,
) -> str:
    """``xpu-smi``: three lines a device. ``widths`` are those of the columns, ``sriov`` is said of each card."""
    one, two, three = widths
    wide = one + two + three + 2
    rule = "+" + "+".join("-" * width for width in widths) + "+"
    out = [
        "Wed Jun 25 19:45:10 2025",
        f"+{'-' * wide}+",
        "|"
        + f" XPU-SMI               Driver Version: {driver}    XPU-RT Version: {RUNTIME}".ljust(wide)
        + "|",
        "|" + rule[1:-1] + "|",
        _row(
            ("XPU  Name", "Persistence-M", one),
            ("Bus-Id", "Disp.A ", two),
            ("Volatile Uncorr. ECC", "", three),
        ),
        _row(
            ("Fan  Temp  Perf  Pwr:Usage/Cap", "", one),
            ("", "Memory-Usage ", two),
            ("XPU-Util", "Compute M. ", three),
        ),
        _row(("", "", one), ("", "L3-Usage ", two), ("", "SR-IOV M. ", three)),
        "|" + "+".join("=" * width for width in widths) + "|",
    ]
    for card in cards:
        memory = f"{card.used_mib:6d}MiB /{card.memory_mib:6d}MiB "
        cache = f"{card.l3_used_mib:6d}MiB /{card.l3_mib:6d}MiB "
        out += [
            _row(
                (f"  {card.index}  {card.name}", "N/A   ", one),
                (card.long_bdf, "N/A ", two),
                ("", f"{'N/A' if card.virtual else card.ecc_errors} ", three),
            ),
            _row(
                (f"N/A   37C  N/A     88W / {card.power_cap_w}W", "", one),
                ("", memory, two),
                (f"    {card.busy_percent:3d}%", "Default ", three),
            ),
            _row(("", "", one), ("", cache, two), ("", f"{sriov or card.sriov} ", three)),
            rule,
        ]
    return "\n".join([*out, "", *_processes(wide), ""])


def _row(*cells: tuple[str, str, int]) -> str:
    """Rule a row: of each cell what stands on its left and on its right."""
    written = (
        f" {left}".ljust(max(width - len(right), len(left) + 2)) + right for left, right, width in cells
    )
    return "|" + "|".join(written) + "|"


def _processes(wide: int) -> list[str]:
    lines = (
        " Processes:",
        "  XPU   XI   CI        PID   Type   Process name                  XPU Memory",
        "        ID   ID                                                   Usage",
    )
    rule = f"+{'-' * wide}+"
    return [
        rule,
        *(f"|{line.ljust(wide)}|" for line in lines),
        f"|{'=' * wide}|",
        f"|{'  No running processes found'.ljust(wide)}|",
        rule,
    ]


def devices_table(
    cards: Sequence[Card], *, runtime: str = "4.31", driver: str = "4.0", state: str | None = None
) -> str:
    """``xpu_smi`` of the K and R series; with ``state`` (N or E) that of the releases that show more columns."""
    heading = ["DevID", "PCI Addr", "Model", "SN", "INODE", "UseRate", "L3", "Memory"]
    body = [
        [
            str(card.index),
            card.bdf,
            card.name,
            card.serial,
            f"/dev/xpu{card.minor}",
            f"{card.busy_percent} %",
            f"{card.l3_used_mib} / {card.l3_mib} MB",
            f"{card.used_mib} / {card.memory_mib} MB",
        ]
        for card in cards
    ]
    if state is not None:
        more = ("Power(W)", "Temp", "Freq(MHz)", "Firmware Version", "CPLD Version")
        heading = [*heading[:5], "State", *heading[5:], *more]
        values = ("37", "41", "900", "0001.0015.0022", "e71702")
        body = [[*row[:5], state, *row[5:], *values] for row in body]
    video = [(str(card.index), card.name, *["0 %, 0 fps, 800 MHz"] * 3) for card in cards]
    return "\n".join(
        [
            f"Runtime Version: {runtime}",
            f"Driver Version: {driver}",
            "  DEVICES",
            *_ruled([heading, *body]),
            "  VIDEO",
            *_ruled([("DevID", "Model", "DEC", "ENC", "IMGPROC"), *video]),
            "  PROCESSES",
            *_ruled([("DevID", "PID", "Streams", "L3", "Memory", "Command")]),
            "",
        ]
    )


def _ruled(table: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    rule = "-" * (sum(widths) + 3 * len(widths) + 1)
    written = [
        "| " + " | ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in table
    ]
    return [rule, written[0], rule, *written[1:], rule]


def topology(
    cards: Sequence[Card], *, groups: int = 4, cards_of_network: Sequence[str] = ("NIC0", "NIC1")
) -> str:
    """``xpu-smi topo -m``: XL inside groups, SYS between them."""
    titles = "".join(f"XPU{card.index}".ljust(6) for card in cards)
    nics = "".join(name.ljust(8) for name in cards_of_network)
    out = [f"        {titles}{nics}CPU Affinity    NUMA Affinity"]
    for card in cards:
        kinds = [
            "X" if other is card else "XL" if other.index // groups == card.index // groups else "SYS"
            for other in cards
        ]
        near = ["PIX" if number == (card.numa or 0) else "SYS" for number in range(len(cards_of_network))]
        node = card.numa or 0
        out.append(
            f"XPU{card.index}".ljust(8)
            + "".join(kind.ljust(6) for kind in kinds)
            + "".join(kind.ljust(8) for kind in near)
            + f"{64 * node}-{64 * node + 63}".ljust(16)
            + str(node)
        )
    legend = [
        "Legend:",
        "  X    = Self",
        "  SYS  = Connection traversing PCIe as well as the SMP interconnect between NUMA nodes",
        "  PIX  = Connection traversing at most a single PCIe bridge",
    ]
    return "\n".join([*out, "", *legend, ""])


def intels_table(bdf: str) -> str:
    """``xpu-smi`` of Intel, from release 2.0 on (intel/xpumanager's README): like Kunlunxin's, and of GPUs."""
    widths = (46, 28, 24)
    rule = "+" + "+".join("-" * width for width in widths) + "+"
    title = "            Intel XPU-SMI v2.0    Driver: 0123456789ABCDEF0123456    Level Zero: 1.27.0"
    return "\n".join(
        [
            rule,
            f"|{title.ljust(sum(widths) + 2)}|",
            rule,
            _row(
                ("GPU  Name", "Persistence-M   ", 46),
                ("Bus-Id", "Disp.A   ", 28),
                ("Volatile Uncorr. ECC", "", 24),
            ),
            _row(
                ("Fan  Temp  Pwr:Usage/Cap", "", 46),
                ("Memory-Usage", "", 28),
                ("GPU-Util", "Compute M. ", 24),
            ),
            rule,
            _row(("  0  Intel(R) Arc(TM) B580", "Off   ", 46), (bdf, "Off   ", 28), ("", "Disabled ", 24)),
            _row(("N/A    25C  66W / 380W", "", 46), ("239MiB / 12216MiB", "", 28), ("  0%", "Default ", 24)),
            rule,
            "",
        ]
    )
