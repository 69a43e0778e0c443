"""What ``npu-smi`` prints, written from the formats in Huawei's source of the tool (CANN's open repositories).

For tests and for the conformance kit: each function makes the text of one command for NPUs that are described by
:class:`Npu`, in the form of one chip family. Nothing here is used to detect.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import attrs

Family = Literal["310P", "910A", "A2", "A3", "A5", "A5_UB"]
_KEY = "\t{:<30} : {}\n"
LEGEND = (
    "\nLegend:\n\n  X    = Self\n"
    "  SYS  = Path traversing PCIe and NUMA nodes. Nodes are connected through SMP, such as QPI, UPI.\n"
    "  PHB  = Path traversing PCIe and the PCIe host bridge of a CPU.\n"
    "  PIX  = Path traversing a single PCIe switch\n  PXB  = Path traversing multipul PCIe switches\n"
    "  HCCS = Connection traversing HCCS.\n  NA   = Unknown relationship.\n"
)


@attrs.frozen(slots=True, kw_only=True)
class Npu:
    """One chip, or one die, of one NPU. ``bus`` is its PCI bus; None: not on PCI."""

    npu: int = 0
    chip: int = 0
    logic: int = 0
    physical: int = 0
    bus: int | None = 0xC1
    name: str = "910B3"
    health: str = "OK"
    power_w: float = 90.4
    temperature_c: int = 37
    busy_percent: int = 0
    used_mib: int = 3416
    total_mib: int = 65536
    ddr_mib: int = 15137
    pages: tuple[int, int] = (0, 0)
    npu_name: str = ""
    cores: int = 20

    @property
    def bdf(self) -> str:
        """The PCI address as the tool writes it, in capitals."""
        return "NA" if self.bus is None else f"0000:{self.bus:02X}:00.0"


@attrs.frozen(slots=True)
class _Ruled:
    """A ruled table: inner widths of the three or four columns of devices, and of the title."""

    widths: tuple[int, ...]
    first: tuple[str, ...]
    second: tuple[str, ...]

    def rule(self, char: str = "-") -> str:
        return "+" + "+".join(char * width for width in self.widths) + "+\n"

    def row(self, cells: Sequence[str]) -> str:
        padded = (f" {cell:<{width - 1}}" for cell, width in zip(cells, self.widths, strict=True))
        return "|" + "|".join(padded) + "|\n"

    def across(self, text: str = "", char: str = " ") -> str:
        inner = sum(self.widths) + len(self.widths) - 1
        return f"+{char * inner}+\n" if char != " " else f"|{text:<{inner}}|\n"


def _ruled(family: Family, extra: int) -> _Ruled:
    if family == "310P":
        values = ("Power(W)     Temp(C)           Hugepages-Usage(page)", "AICore(%)    Memory-Usage(MB)")
        return _Ruled(
            (31, 17, 54 + extra),
            ("NPU     Name", "Health", values[0]),
            ("Chip    Device", "Bus-Id", values[1]),
        )
    values = (
        "Power(W)    Temp(C)           Hugepages-Usage(page)",
        "AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)",
    )
    if family in ("A5", "A5_UB"):
        busy = "NPU Util(%) Memory-Usage(MB)  HBM-Usage(MB)"
        return _Ruled(
            (8, 18, 15, 53 + extra), ("NPU ID", "Name", "Health", values[0]), ("", "", "Bus-Id", busy)
        )
    second = "Chip  Phy-ID" if family == "A3" else "Chip"
    return _Ruled((27, 15, 52 + extra), ("NPU   Name", "Health", values[0]), (second, "Bus-Id", values[1]))


def info(family: Family, npus: Sequence[Npu], version: str = "25.5.1", *, extra: int = 0) -> str:
    """Return the table of ``npu-smi info``; ``extra`` columns wider, as release 26 is than 25."""
    ruled = _ruled(family, extra)
    text = ruled.across(char="-") + ruled.across(f" npu-smi {version:<24} Version: {version}")
    text += ruled.rule() + ruled.row(ruled.first) + ruled.row(ruled.second) + ruled.rule("=")
    for number, one in enumerate(npus):
        text += ruled.row(_first(family, one)) + ruled.row(_second(family, one))
        inside = number + 1 < len(npus) and npus[number + 1].npu == one.npu
        text += ruled.across(char="-") if inside else ruled.rule("=")
    return text + _processes(family, npus)


def _first(family: Family, one: Npu) -> tuple[str, ...]:
    pages = f"{one.pages[0]:<6}/ {one.pages[1]:<13}"
    power = "NA" if family == "310P" else "-" if family == "A3" and one.chip else f"{one.power_w:.1f}"
    values = f"{power:<12} {one.temperature_c:<17} {pages}"
    if family in ("A5", "A5_UB"):
        return (f"{one.npu}", one.name, one.health, values)
    return (
        f"{one.npu:<7} {one.name}" if family == "310P" else f"{one.npu:<5} {one.name}",
        one.health,
        values,
    )


def _second(family: Family, one: Npu) -> tuple[str, ...]:
    if family == "310P":
        return (
            f"{one.chip:<7} {one.logic}",
            one.bdf,
            f"{one.busy_percent:<12} {one.used_mib:<5}/ {one.total_mib}",
        )
    ddr = one.ddr_mib if family == "910A" else 0  # the others print 0 / 0
    values = f"{one.busy_percent:<11} {ddr // 4:<5}/ {ddr:<10} {one.used_mib:<5}/ {one.total_mib}"
    if family in ("A5", "A5_UB"):
        return ("", "", one.bdf, values)
    return (f"{one.chip:<5} {one.physical}" if family == "A3" else f"{one.chip}", one.bdf, values)


def _processes(family: Family, npus: Sequence[Npu]) -> str:
    ruled = _Ruled((27, 15, 26, 25), (), ())
    chips = "NPU ID" if family in ("A5", "A5_UB") else "NPU     Chip"
    text = (
        ruled.rule()
        + ruled.row((chips, "Process id", "Process name", "Process memory(MB)"))
        + ruled.rule("=")
    )
    for npu in {one.npu: None for one in npus}:
        text += ruled.across(f" No running processes found in NPU {npu:<7}") + ruled.rule("=")
    return text


def mapping(family: Family, npus: Sequence[Npu], *, mcu: bool = False) -> str:
    """Return ``npu-smi info -m``. With ``mcu``, each NPU has a board controller besides."""
    titles = {
        "A3": ("NPU ID", "Chip ID", "Chip Logic ID", "Chip Phy-ID", "Chip Name"),
        "A5": ("NPU ID", "Slot ID", "Chip ID", "Chip Phy-ID", "Chip Name"),
    }
    kind = "A5" if family == "A5_UB" else family
    heading = titles.get(kind, ("NPU ID", "Chip ID", "Chip Logic ID", "Chip Name"))
    rows: list[tuple[object, ...]] = [heading]
    for number, one in enumerate(npus):
        rows.append(
            {
                "A3": (one.npu, one.chip, one.logic, one.physical, one.name),
                "A5": (one.npu, number + 1, one.chip, one.physical, one.name),
            }.get(kind, (one.npu, one.chip, one.logic, f"Ascend {one.name}"))
        )
        if mcu and (number + 1 == len(npus) or npus[number + 1].npu != one.npu):
            blanks = ("-", "-") if kind == "A3" else ("-",)
            rows.append((one.npu, one.chip + 1, *blanks, "Mcu"))
    return "".join("\t" + " ".join(f"{cell!s:<30}" for cell in row) + "\n" for row in rows)


def listing(family: Family, npus: Sequence[Npu]) -> str:
    """Return ``npu-smi info -l``."""
    counts: dict[int, int] = {}
    for one in npus:
        counts[one.npu] = counts.get(one.npu, 0) + 1
    text = _KEY.format("Total Count", len(counts)) + "\n"
    for npu, chips in counts.items():
        text += _KEY.format("NPU ID", npu)
        text += "\n" if family in ("A5", "A5_UB") else _KEY.format("Chip Count", chips) + "\n"
    return text


def board(family: Family, one: Npu, version: str = "25.5.1") -> str:
    """Return ``npu-smi info -t board -i NPU -c CHIP``; that of A5 is of the whole card."""
    values: list[tuple[str, object]] = [("NPU ID", one.npu)]
    if family in ("A3", "A5", "A5_UB"):
        values.append(("NPU Name", one.npu_name))
    values.append(("Chip ID", one.chip))
    if family not in ("A3", "A5", "A5_UB"):
        values.append(("Chip Type", "Ascend"))
    values += [("Chip Name", one.name), ("Chip Version", "V1"), ("Board ID", "0x30"), ("PCB ID", "NA")]
    values.append(
        (
            "Die ID" if family == "310P" else "VDie ID",
            f"{0x14036E64 + one.logic:08X} 00E04F1D 1223F2B2 8452E485 104301E2",
        )
    )
    values += [("Software Version", version), ("Chip Position ID", one.chip)]
    values += [("PCIe Bus Info", one.bdf), ("Firmware Version", "7.7.0.6.236")]
    return "".join(_KEY.format(key, value) for key, value in values)


def usages(family: Family, npus: Sequence[Npu]) -> str:
    """Return ``npu-smi info -t usages -i NPU`` of the chips of one NPU; each chip's id is below its values."""
    text = _KEY.format("NPU ID", npus[0].npu) + _KEY.format("Chip Count", len(npus)) + "\n"
    for one in npus:
        ddr = one.total_mib if family == "310P" else one.ddr_mib if family == "910A" else 0
        text += _KEY.format("DDR Capacity(MB)", ddr) + _KEY.format("DDR Usage Rate(%)", 0)
        if family != "310P":
            rate = 100 * one.used_mib // one.total_mib
            text += _KEY.format("HBM Capacity(MB)", one.total_mib) + _KEY.format("HBM Usage Rate(%)", rate)
        text += _KEY.format("Aicore Usage Rate(%)", one.busy_percent)
        text += _KEY.format("Aicpu Usage Rate(%)", 0) + _KEY.format("Chip ID", one.chip)
    return text


def common(family: Family, npus: Sequence[Npu]) -> str:
    """Return ``npu-smi info -t common -i NPU``; each chip's id is above its values, and the board's come last."""
    text = _KEY.format("NPU ID", npus[0].npu) + _KEY.format("Chip Count", len(npus))
    for one in npus:
        text += "\n" + _KEY.format("Chip ID", one.chip) + _KEY.format("Memory Usage Rate(%)", 3)
        text += _KEY.format("Aicore Usage Rate(%)", one.busy_percent) + _KEY.format("Aicore Freq(MHZ)", 1800)
        if family != "310P":
            text += _KEY.format("Aicore Count", one.cores)
        text += _KEY.format("Temperature(C)", one.temperature_c)
        if family != "310P":
            text += _KEY.format("NPU Real-time Power(W)", f"{one.power_w:.1f}")
    return text + "\n" + _KEY.format("Chip Name", "mcu") + _KEY.format("Temperature(C)", 48)


def topology(
    family: Family, npus: Sequence[Npu], kinds: Sequence[Sequence[str]], cpus: Sequence[str] = ()
) -> str:
    """Return ``npu-smi info -t topo``: ``kinds[i][j]`` joins NPU i to NPU j; ``cpus`` as A2 prints them."""
    names = [f"Phy-ID{one.physical}" if family == "A3" else f"NPU{one.logic}" for one in npus]
    text = "\t   " + "".join(f"{name:<11}" for name in names) + ("CPU Affinity" if cpus else "") + "\n"
    for row, name in enumerate(names):
        cells = ["X" if column == row else kinds[row][column] for column in range(len(names))]
        text += f"{name:<11}" + "".join(f"{cell:<11}" for cell in cells) + (cpus[row] if cpus else "") + "\n"
    return text + LEGEND
