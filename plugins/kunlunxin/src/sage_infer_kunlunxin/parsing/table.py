"""``xpu-smi`` without arguments: a table of three lines a device, in the manner of nvidia-smi, with L3-Usage.

Format: PaddlePaddle's ERNIE guide for P800 (5.0.21.21). The newer ``xpu_smi`` prints it too. Values are found below the
titles that name them: the line and the column of a title are those of its value. Titles speak of XPUs; a table of GPUs,
as Intel's tool of the same name prints it, is another vendor's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from sage_infer_contracts.detecting.devices import Device
from sage_infer_contracts.detecting.text import lines, pci_address, percent, whole
from sage_infer_contracts.devices import DeviceIds

from .records import DIVIDED, Reading, from_ecc, last_level, once, pair, torn_row, version
from .ruled import rows

SOURCE = "xpu-smi"
_DRIVER = re.compile(r"\b(?:Driver|KMD) Version\s*:\s*([0-9][0-9.]*)(?=[\s|])", re.IGNORECASE)
_BEGINS = re.compile(r"([0-9]{1,5})\s+[A-Za-z]", re.ASCII)
_MODES = frozenset({"n/a", "on", "off", "enabled", "disabled"})
_MARKERS = {
    "name": ("xpu", "name"),
    "bus": ("bus-id",),
    "ecc": ("ecc",),
    "memory": ("memory-usage",),
    "use": ("xpu-util",),
    "l3": ("l3-usage",),
    "sriov": ("sr-iov",),
}
Place = tuple[int, int]


def parse_table(text: str) -> Reading:
    """Read the devices of the table; processes below it are in rows of another shape."""
    driver = next((version(said[1]) for line in lines(text) if (said := _DRIVER.search(line))), None)
    table = rows(text)
    heading = _heading(table)
    if not any("xpu" in cell.lower() for cells in heading for cell in cells):
        return Reading()
    places = _places(heading)
    found: list[Device] = []
    for record in _records(table, heading, places):
        # A line that is missing or broken would leave what stands below it in its place.
        device = _device(record if len(record) == len(heading) else record[:1], places, driver)
        found += [device] if device is not None else []
    return Reading(once(found), driver, torn=_torn(text, found))


def _torn(text: str, found: Sequence[Device]) -> tuple[str, ...]:
    """Return the rows above those of processes that begin as a device's or have an address, and are no device's."""
    addresses, indices = {one.ids.bdf for one in found}, {one.ids.index for one in found}
    torn = []
    for cells in rows(text, torn_too=True):
        if cells[0].startswith("Processes"):
            break
        begins = _BEGINS.match(cells[0])
        words = " ".join(cells).split()
        if (begins and int(begins[1]) not in indices) or any(
            pci_address(word) not in (None, *addresses) for word in words
        ):
            torn.append(torn_row(" ".join(words)))
    return tuple(torn)


def _heading(table: Sequence[list[str]]) -> list[list[str]]:
    """Return the lines of titles: from the one with the name or the address on, all of its shape without numbers."""
    for at, cells in enumerate(table):
        if any(_has(cell, "name") or _has(cell, "bus") for cell in cells):
            below = (other for other in table[at:] if len(other) == len(cells))
            titles: list[list[str]] = []
            for other in below:
                if any(re.search(r"[0-9]{2}", cell) for cell in other):
                    break
                titles += [other] if other not in titles else []  # a heading may come twice
            return titles[:3]
    return []


def _has(cell: str, field: str) -> bool:
    lowered = cell.lower()
    return all(word in lowered for word in _MARKERS[field])


def _places(heading: Sequence[list[str]]) -> dict[str, Place]:
    places: dict[str, Place] = {}
    for line, cells in enumerate(heading):
        for column, cell in enumerate(cells):
            for field in _MARKERS:
                if field not in places and _has(cell, field):
                    places[field] = (line, column)
    return places


def _records(
    table: Sequence[list[str]], heading: Sequence[list[str]], places: dict[str, Place]
) -> list[list[list[str]]]:
    """Group rows: a device begins where a name's cell begins with a number or an address's cell has one."""
    found: list[list[list[str]]] = []
    for cells in table:
        if not heading or len(cells) != len(heading[0]) or cells in heading:
            continue
        first = [cells]
        if pci_address(_bus(first, places)) is not None or _name(first, places)[0] is not None:
            found.append(first)
        elif found:
            found[-1].append(cells)
    return found


def _cell(record: Sequence[list[str]], places: dict[str, Place], field: str) -> str | None:
    line, column = places.get(field, (len(record), 0))
    return record[line][column] if line < len(record) else None


def _bus(record: Sequence[list[str]], places: dict[str, Place]) -> str | None:
    """Return the first word under Bus-Id; the display's state follows it."""
    words = (_cell(record, places, "bus") or "").split()
    return words[0] if words else None


def _name(record: Sequence[list[str]], places: dict[str, Place]) -> tuple[int | None, str | None]:
    """Return index and name: ``0  P800 OAM           N/A``, where the last word is the persistence mode."""
    words = (_cell(record, places, "name") or "").split()
    if len(words) < 2 or whole(words[0]) is None:
        return None, None
    if words[-1].lower() in _MODES:
        words = words[:-1]
    return whole(words[0]), " ".join(words[1:]) or None


def _device(record: Sequence[list[str]], places: dict[str, Place], driver: str | None) -> Device | None:
    index, name = _name(record, places)
    bdf = pci_address(_bus(record, places))
    if bdf is None and (index is None or name is None):
        return None
    used, total = pair(_cell(record, places, "memory"))
    health, reason = from_ecc(whole(_cell(record, places, "ecc")))
    return Device(
        ids=DeviceIds(index=index, bdf=bdf),
        name=name,
        memory_total_bytes=total,
        memory_used_bytes=used,
        utilisation_percent=percent(next(iter((_cell(record, places, "use") or "").split()), None)),
        driver_version=driver,
        health=health,
        health_reason=reason,
        figures=last_level(pair(_cell(record, places, "l3"))[1], f"{SOURCE}: L3-Usage"),
        features=(DIVIDED,) if _cell(record, places, "sriov") == "Enabled" else (),
    )
