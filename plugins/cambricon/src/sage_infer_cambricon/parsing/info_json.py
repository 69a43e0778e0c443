"""The file that ``cnmon info -j`` writes: the facts of ``cnmon info`` as JSON.

It is written into the working folder, so the command is never run here; what somebody else made with it is read.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from sage_infer_contracts.detecting.text import lines

from .labels import cards_of
from .records import Card, number_of

_LABELS: Mapping[tuple[str, ...], tuple[str, str]] = {
    ("ProductName",): ("", "product name"),
    ("UUID",): ("", "uuid"),
    ("SN",): ("", "sn"),
    ("Driver",): ("", "driver"),
    ("Firmware",): ("", "firmware"),
    ("PCI", "DomainID"): ("pci", "domain id"),
    ("PCI", "Bus"): ("pci", "bus num"),
    ("PCI", "Device"): ("pci", "device"),
    ("PCI", "Function"): ("pci", "function"),
    ("Utilization", "MLUAverage"): ("utilization", "mlu average"),
    ("PhysicalMemUsage", "Total"): ("physical memory usage", "total"),
    ("PhysicalMemUsage", "Used"): ("physical memory usage", "used"),
}


def parse_info_json(text: str, *, known: Collection[str] | None = None) -> list[Card]:
    """Return the cards of the file, each once, whatever stands before and after the JSON."""
    if '"CnmonInfo"' not in text:
        return []
    plain = "\n".join(lines(text + "\n"))
    try:
        document, _ = json.JSONDecoder().raw_decode(plain, plain.rindex("{", 0, plain.index('"CnmonInfo"')))
    except (ValueError, RecursionError):
        return []
    listed = document.get("CnmonInfo")
    found: dict[int, dict[tuple[str, str], str]] = {}
    for one in listed if isinstance(listed, list) else ():
        number = number_of(str(one.get("CardNum"))) if isinstance(one, dict) else None
        if number is not None:
            found.setdefault(number, dict(_labels(one)))
    return cards_of(list(found.items()), known)


def _labels(card: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], str]]:
    """Give the facts of the JSON form the labels of the printed one; sizes there are MiB, with the unit or without."""
    for path, label in _LABELS.items():
        value: Any = card
        for name in path:
            value = value.get(name) if isinstance(value, Mapping) else None
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            text = str(value).strip()
            is_size = label[0] == "physical memory usage" and text.isdigit()
            yield label, f"{text} MiB" if is_size else text
