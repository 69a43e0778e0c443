"""From what the tool's commands say of NPUs and chips to devices, joined by NPU id and chip id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from sage_infer_contracts.detecting.devices import Device
from sage_infer_contracts.devices import DeviceIds, Figure, HealthState

from .chips import chip_of, soc_of
from .parsing.boards import Board
from .parsing.info_table import TableRow
from .parsing.listing import ListedNpu
from .parsing.mapping import MappedChip
from .parsing.topology import Topology
from .parsing.usages import ChipFacts

FIRST_SLICE = 32768
"""NPU ids from here on are virtual NPUs: parts of a chip."""
_MOST_CHIPS = 8
"""Chips of one card that an answer is believed to tell of."""
_HEALTH: dict[str, tuple[HealthState, str | None]] = {
    "ok": ("ok", None),
    "warning": ("degraded", "npu-smi reports Warning: a minor alarm"),
    "alarm": ("degraded", "npu-smi reports Alarm: a major alarm"),
    "critical": ("failed", "npu-smi reports Critical: a critical alarm"),
    "fault": ("failed", "npu-smi reports Fault"),
}
"""The states npu-smi prints, and UNKNOWN."""


def of_table(rows: Iterable[TableRow], mapped: Iterable[MappedChip]) -> list[Device]:
    """Return the devices of the table with their ids from the mapping, and those that only the mapping lists.

    Where the table does not number its NPUs, nobody can tell which of the mapping's are not among them.
    """
    left = {(chip.npu, chip.chip): chip for chip in mapped}
    found: list[Device] = []
    numbered = True
    for row in rows:
        numbered = numbered and row.npu is not None
        chip = _taken(left, row)
        found.append(_of_row(row).with_more(_of_mapped(chip)) if chip is not None else _of_row(row))
    return found + [_of_mapped(chip) for chip in left.values() if numbered]


def _taken(left: dict[tuple[int, int], MappedChip], row: TableRow) -> MappedChip | None:
    if row.npu is None:
        return None
    keys = [key for key in left if key[0] == row.npu and row.chip in (None, key[1])]
    return left.pop(keys[0]) if len(keys) == 1 else None


def of_list(listed: Iterable[ListedNpu]) -> list[Device]:
    """Return a device for each chip of ``-l``."""
    return [_device(one.npu, chip) for one in listed for chip in range(min(one.chips or 1, _MOST_CHIPS))]


def of_topology(topology: Topology) -> list[Device]:
    """Return a device for each row of the matrix, which names them by one number."""
    return [
        Device(
            ids=DeviceIds(physical=label.number) if label.kind == "Phy-ID" else DeviceIds(index=label.number)
        )
        for label in topology.labels
    ]


def of_facts(facts: Iterable[ChipFacts], npu: int | None) -> list[Device]:
    """Return a device for each chip of ``-t TYPE -i NPU``; ``npu`` is the one that was asked about, if any was."""
    found: list[Device] = []
    for one in facts:
        state, reason = health_of(one.health)
        device = _device(one.npu if one.npu is not None else npu, one.chip)
        found.append(
            device.with_more(
                Device(
                    memory_total_bytes=one.total_bytes,
                    utilisation_percent=one.busy_percent,
                    compute_units=one.cores,
                    health=state,
                    health_reason=reason,
                    figures=_measured(one.power_w, one.temperature_c),
                )
            )
        )
    return found


def of_board(board: Board, npu: int | None) -> list[Device]:
    """Return the chip, or each chip of the card, that ``-t board -i NPU`` describes."""
    number = board.npu if board.npu is not None else npu
    several = board.chip is None and board.chips is not None and board.chips > 1
    chips = range(min(board.chips or 1, _MOST_CHIPS)) if several else [board.chip]
    more = Device(
        ids=DeviceIds(bdf=board.bdf),
        name=board.chip_name if (board.chip_name or "").lower() != "mcu" else None,
        driver_version=board.software_version,
    ).with_chip(chip_of(board.chip_name, soc_of(board), board.pci_device))
    return [_device(number, chip).with_more(more) for chip in chips]


def chip_id(device: Device) -> int | None:
    """Return the chip id that is part of a device's key."""
    _, slash, chip = (device.key or "").partition("/")
    return int(chip) if slash else None


def is_slice(device: Device) -> bool:
    """Say whether a device is a virtual NPU."""
    return device.ids.index is not None and device.ids.index >= FIRST_SLICE


def health_of(said: str | None) -> tuple[HealthState, str | None]:
    """Return the state that npu-smi's word means, and why it is not well."""
    if said is None:
        return "unknown", None
    return _HEALTH.get(said.strip().lower(), ("unknown", f"npu-smi reports {said.strip()}"))


def same_places(devices: Sequence[Device]) -> set[str]:
    """Return the PCI addresses that several devices have: the chips of a card, or slices of a chip."""
    numbers = Counter(device.ids.bdf for device in devices)
    return {bdf for bdf, number in numbers.items() if bdf is not None and number > 1}


def _device(npu: int | None, chip: int | None) -> Device:
    return Device(
        ids=DeviceIds(index=npu), key=None if chip is None else f"{'' if npu is None else npu}/{chip}"
    )


def _of_row(row: TableRow) -> Device:
    state, reason = health_of(row.health)
    key = None if row.npu is None or row.chip is None else f"{row.npu}/{row.chip}"
    return Device(
        ids=DeviceIds(index=row.npu, logical=row.logic, physical=row.physical, bdf=row.bdf),
        key=key,
        name=row.name,
        memory_total_bytes=row.total_bytes,
        memory_used_bytes=row.used_bytes,
        utilisation_percent=row.busy_percent,
        health=state,
        health_reason=reason,
        figures=_measured(row.power_w, row.temperature_c),
    )


def _of_mapped(chip: MappedChip) -> Device:
    return Device(
        ids=DeviceIds(index=chip.npu, logical=chip.logic, physical=chip.physical),
        key=f"{chip.npu}/{chip.chip}",
        name=chip.name,
    )


def _measured(power_w: float | None, temperature_c: float | None) -> tuple[tuple[str, Figure], ...]:
    values = (("power", power_w, "W"), ("temperature", temperature_c, "C"))
    return tuple(
        (name, Figure(value=value, unit=unit, source="npu-smi"))
        for name, value, unit in values
        if value is not None
    )
