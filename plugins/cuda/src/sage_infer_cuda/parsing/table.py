"""The table that ``nvidia-smi`` prints when it is asked for nothing, and that of MIG devices below it.

A GPU has two or three rows, each under a title of its own; which cell holds what follows from the titles. Whatever
stands before a row's first bar, such as a time or a quotation mark, and behind its last one is not the table's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import attrs

from sage_infer_contracts.detecting.text import lines, whole
from sage_infer_contracts.devices import DeviceIds

from .fields import device_of, version
from .records import Reading, Slice, distinct, distinct_slices

_BANNER = re.compile(r"NVIDIA-SMI\s+([0-9][\w.]{0,30})(?:.{0,40}?(?:Driver|KMD) Version:\s*([\w.]{1,40}))?")
_BUS = re.compile(
    r"([0-9A-Fa-f]{4,8}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.[0-7])(?:\s+(?:On|Off|N/A|ERR!))?", re.ASCII
)
_GPU = re.compile(r"([0-9]{1,4})\s+(\S.*?)(?:\s+(?:On|Off|N/A|TCC|WDDM|MCDM|ERR!))?", re.ASCII)
_INTEGRATED = re.compile(r"[A-Za-z][\w -]{0,40} \(nvgpu\)", re.ASCII)
"""A GPU of a system-on-chip (Jetson) by the name of its driver; it has no PCI address to show."""
_MEMORY = re.compile(r"(\S{1,20}iB)\s*/\s*(\S{1,20}iB)", re.ASCII)
_SHARED = re.compile(r"([0-9]{1,9}MiB)\s*/\s*([0-9]{1,9}MiB)", re.ASCII)
_BUSY = re.compile(r"([0-9]{1,3})%\s+\S.*", re.ASCII)
_TITLES = {
    "gpu": "Bus-Id",
    "memory": "Memory-Usage",
    "busy": "GPU-Util",
    "mig": "MIG M.",
    "ecc": "Uncorr. ECC",
}
_MIG_MODES = ("Enabled", "Disabled")


@attrs.define(slots=True)
class _Columns:
    """Which cell of a row holds what, as the titles say; ``count`` cells a row."""

    count: int
    name: int
    bus: int
    others: dict[str, int] = attrs.field(factory=dict)


def parse_table(text: str) -> Reading:
    """Read GPUs and MIG devices; nothing without the tool's banner, for others print tables like it."""
    printed = lines(text)
    broken = any(line.lstrip().startswith("|") and not line.endswith("|") for line in printed)
    reading = _read([_boxed(line) for line in _joined(printed)]) if broken else Reading()
    return reading if reading.devices else _read([_boxed(line) for line in printed])


def _boxed(line: str) -> str:
    """Return a row from its first to its last bar; a line without two bars as it is."""
    start, end = line.find("|"), line.rfind("|")
    return line[start : end + 1] if start < end else line


def _joined(printed: Sequence[str]) -> list[str]:
    """Put rows together that were broken at a terminal's width: a line without bar or corner in front goes on."""
    rows: list[str] = []
    for line in printed:
        text = line.strip()
        if rows and text and text[0] not in "|+":
            rows[-1] = f"{rows[-1]} {text}"
        else:
            rows.append(text)
    return rows


def _read(printed: Sequence[str]) -> Reading:
    banner = next((found for line in printed if (found := _BANNER.search(line))), None)
    if banner is None:
        return Reading()
    driver = version(banner[2])
    fields = (
        {**one, "driver_version": driver or ""}
        for one in _gpus(_until(printed, ("MIG devices", "Processes")))
    )
    devices = [
        device
        for one in fields
        if (device := device_of(one, nameless=not _INTEGRATED.fullmatch(one["name"]))) is not None
    ]
    slices = _slices(_after(printed, "MIG devices"))
    return Reading(devices=distinct(devices), slices=distinct_slices(list(slices)), driver_version=driver)


def _until(printed: Sequence[str], titles: tuple[str, ...]) -> Sequence[str]:
    """Return the lines before the first of the tables below."""
    ends = [at for at, line in enumerate(printed) if line.strip(" |").startswith(titles)]
    below = [at for at in ends if any("Bus-Id" in line for line in printed[:at])]
    return printed[: below[0]] if below else printed


def _after(printed: Sequence[str], title: str) -> Sequence[str]:
    start = next((at for at, line in enumerate(printed) if line.strip(" |").startswith(title)), len(printed))
    return _until_processes(printed[start + 1 :])


def _until_processes(printed: Sequence[str]) -> Sequence[str]:
    end = next(
        (at for at, line in enumerate(printed) if line.strip(" |").startswith("Processes")), len(printed)
    )
    return printed[:end]


def _cells(line: str) -> list[str]:
    inside = line.strip()
    return (
        [cell.strip() for cell in inside[1:-1].split("|")]
        if inside.startswith("|") and inside.endswith("|")
        else []
    )


def _gpus(printed: Sequence[str]) -> Iterator[dict[str, str]]:
    columns: _Columns | None = None
    current: dict[str, str] | None = None
    for line in printed:
        cells = _cells(line)
        titled = _titles(cells)
        if titled is not None:
            columns, current = titled, None
        elif columns is None or len(cells) != columns.count or _learn(columns, cells):
            continue
        else:
            first = _first_row(columns, cells)
            if first is not None:
                if current is not None:
                    yield current
                current = first
            elif current is not None:
                _more(columns, cells, current)
    if current is not None:
        yield current


def _titles(cells: list[str]) -> _Columns | None:
    bus = [at for at, cell in enumerate(cells) if cell.split()[:1] == ["Bus-Id"]]
    name = [at for at, cell in enumerate(cells) if cell.split()[:2] == ["GPU", "Name"]]
    if len(bus) != 1 or len(name) != 1:
        return None
    columns = _Columns(count=len(cells), name=name[0], bus=bus[0])
    _learn(columns, cells)
    return columns


def _learn(columns: _Columns, cells: list[str]) -> bool:
    """Take in what a row of titles says; False if it is none."""
    found = {key: at for key, title in _TITLES.items() for at, cell in enumerate(cells) if title in cell}
    columns.others |= found
    return bool(found)


def _first_row(columns: _Columns, cells: list[str]) -> dict[str, str] | None:
    gpu, bus = _GPU.fullmatch(cells[columns.name]), _BUS.fullmatch(cells[columns.bus])
    if gpu is None or not (bus or (_INTEGRATED.fullmatch(gpu[2]) and cells[columns.bus].startswith("N/A"))):
        return None
    found = {"index": gpu[1], "name": gpu[2], "pci.bus_id": bus[1] if bus else ""}
    if "ecc" in columns.others:
        found["ecc.errors.uncorrected.volatile.total"] = cells[columns.others["ecc"]]
    return found


def _more(columns: _Columns, cells: list[str], current: dict[str, str]) -> None:
    """Add what the second and third row of a GPU say."""
    if "memory.total" not in current and "memory" in columns.others:
        memory = _MEMORY.fullmatch(cells[columns.others["memory"]])
        if memory:
            current |= {"memory.used": memory[1], "memory.total": memory[2]}
    if "utilization.gpu" not in current and "busy" in columns.others:
        busy = _BUSY.fullmatch(cells[columns.others["busy"]])
        if busy:
            current["utilization.gpu"] = busy[1]
    if "mig" in columns.others and cells[columns.others["mig"]] in _MIG_MODES:
        current.setdefault("mig.mode.current", cells[columns.others["mig"]])
    if any("ERR!" in cell for cell in cells):
        current["fan, temperature, power or load"] = "ERR!"


def _slices(printed: Sequence[str]) -> Iterator[Slice]:
    """Read rows of numbers under ``GPU GI CI MIG``; the row below each, of another memory, has no numbers there."""
    count, memory, units = 0, -1, -1
    for line in printed:
        cells = _cells(line)
        if cells and cells[0].split() == ["GPU", "GI", "CI", "MIG"]:
            count = len(cells)
            memory = next((at for at, cell in enumerate(cells) if cell.endswith("Memory-Usage")), -1)
            units = -1
        if not count or len(cells) != count:
            continue
        if units < 0:
            units = next((at for at, cell in enumerate(cells) if cell.split()[:1] == ["SM"]), -1)
        one = _slice(cells, memory, units)
        if one is not None:
            yield one


def _slice(cells: list[str], memory: int, units: int) -> Slice | None:
    numbers = [whole(word) for word in cells[0].split()]
    if len(numbers) != 4 or None in numbers or memory < 0:
        return None
    gpu, instance, compute, number = (one or 0 for one in numbers)
    sizes = _SHARED.fullmatch(cells[memory])
    processors = whole((cells[units].split() or [""])[0]) if units >= 0 else None
    return Slice(
        number=number,
        parent=DeviceIds(index=gpu),
        instance=f"{instance}/{compute}",
        memory_used_bytes=_mebibytes(sizes[1]) if sizes else None,
        memory_total_bytes=_mebibytes(sizes[2]) if sizes else None,
        compute_units=processors or None,
    )


def _mebibytes(text: str) -> int:
    return int(text.removesuffix("MiB")) * 2**20
