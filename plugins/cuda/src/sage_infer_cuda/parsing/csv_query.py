"""``nvidia-smi --query-gpu=... --format=csv``: a line of titles with units, then one line a GPU."""

from __future__ import annotations

import re

from sage_infer_contracts.detecting.text import lines

from .fields import device_of, known, version
from .records import Reading, distinct

_TITLE = re.compile(r"([A-Za-z_][\w.]*)\s*(?:\[([^\]]{1,16})\])?")
_ALIASES = {
    "gpu_uuid": "uuid",
    "gpu_name": "name",
    "gpu_bus_id": "pci.bus_id",
    "kmd_version": "driver_version",
}
_IDENTITIES = ("uuid", "pci.bus_id")
_KNOWN = {*_IDENTITIES, "name"}
Titles = tuple[list[str], dict[str, str]]


def parse_query_csv(text: str) -> Reading:
    """Read GPUs by the titles above them; a line that has not as many cells as titles is none.

    Nor is one without UUID and PCI address, unless no line has any: then the query did not ask for them.
    """
    rows: list[dict[str, str]] = []
    titles: Titles | None = None
    for line in lines(text):
        cells = [cell.strip() for cell in line.split(",")]
        found = _titles(cells)
        if found is not None and titles is not None and found == titles:
            break  # the same once more: output that came twice
        titles = titles or found
        if titles is not None and found is None and len(cells) == len(titles[0]):
            rows.append(dict(zip(titles[0], cells, strict=True)))
    units = titles[1] if titles else {}
    asked = any(known(row.get(name)) for row in rows for name in _IDENTITIES)
    devices = [device_of(row, units=units, nameless=asked) for row in rows]
    there = [one for one in devices if one is not None]
    driver = next((one.driver_version for one in there if one.driver_version), None)
    return Reading(devices=distinct(there) if asked else tuple(there), driver_version=version(driver))


def _titles(cells: list[str]) -> Titles | None:
    """Return names and units of a line of titles; None if it is none."""
    matches = [_TITLE.fullmatch(cell) for cell in cells]
    names = [
        _ALIASES.get(match[1].lower(), match[1].lower()) if match else f"column {number}"
        for number, match in enumerate(matches)
    ]
    if not _KNOWN & set(names) or len(names) < 2:
        return None
    # A column under a second name, such as kmd_version beside driver_version, is kept under its place.
    first = {name: number for number, name in reversed(list(enumerate(names)))}
    once = [name if first[name] == number else f"column {number}" for number, name in enumerate(names)]
    units = {name: match[2] for name, match in zip(once, matches, strict=True) if match and match[2]}
    return once, units
