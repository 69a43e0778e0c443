"""``xpu-smi -m`` and ``xpu_smi -m``: one line a device, 32 fields with blanks between them, no titles.

The places are those of the tool's own help text: 0 PCI address, 1 board, 2 device, 15/16 L3 used and total, 17/18
memory used and total (written MB, and MiB by comparison with ``-q``), 19 use, 20 firmware, 21 model in quotes, 22 chip
on the board.
"""

from __future__ import annotations

import re
from collections import Counter

import attrs

from sage_infer_contracts.detecting.devices import Device
from sage_infer_contracts.detecting.text import lines, pci_address, percent, whole
from sage_infer_contracts.devices import DeviceIds

from .records import Reading, last_fragment, last_level, once, some_bytes, torn_row, used_bytes

SOURCE = "xpu-smi -m"
_FIELD = re.compile(r'"[^"]*"|\S+')
_FIRMWARE = re.compile(r"[0-9][0-9A-Za-z]*(?:[.:][0-9A-Za-z]+)+", re.ASCII)
_MODEL = re.compile(r"[A-Z]{1,3}[0-9]{2,4}(?:[-_][0-9A-Z]+)*", re.ASCII)
_LEAST = 22
"""Up to the model, which shows that the fields stand where they are looked for."""


def parse_machine_readable(text: str) -> Reading:
    """Read the lines whose fields are the documented ones; a line of another make is none."""
    found: list[Device] = []
    torn: list[str] = []
    for line in (*lines(text), *last_fragment(text)):
        fields = _FIELD.findall(line)
        device = _device(fields)
        if device is not None:
            found.append(device)
        elif fields and pci_address(fields[0]) is not None:
            torn.append(torn_row(line))
    devices = once(found)
    boards = Counter(one.ids.physical for one in devices)
    addresses = Counter(one.ids.bdf for one in devices)
    told_apart = [
        attrs.evolve(
            one,
            # A board with several devices is none of them, and their address does not tell them apart.
            ids=one.ids if boards[one.ids.physical] == 1 else one.ids.model_copy(update={"physical": None}),
            key=str(one.ids.index) if addresses[one.ids.bdf] > 1 else None,
        )
        for one in devices
    ]
    return Reading(tuple(told_apart), torn=tuple(torn))


def _device(fields: list[str]) -> Device | None:
    if len(fields) < _LEAST or not _is_documented(fields):
        return None
    total = some_bytes(fields[18], "MiB")
    return Device(
        ids=DeviceIds(bdf=pci_address(fields[0]), physical=whole(fields[1]), index=whole(fields[2])),
        name=fields[21].strip('"').strip() or None,
        memory_total_bytes=total,
        memory_used_bytes=used_bytes(fields[17], total, "MiB"),
        utilisation_percent=percent(fields[19]),
        figures=last_level(some_bytes(fields[16], "MiB"), f"{SOURCE}: L3 total"),
    )


def _is_documented(fields: list[str]) -> bool:
    """Say whether address, numbers, firmware and model stand where the help text puts them.

    A model in quotes shows where it stands; one without must look like a model, behind what looks like a firmware.
    """
    model = fields[21]
    if model.startswith('"'):
        placed = len(model) > 1 and model.endswith('"')
    else:
        placed = (
            len(fields) > _LEAST
            and _MODEL.fullmatch(model) is not None
            and _FIRMWARE.fullmatch(fields[20]) is not None
        )
    numbers = whole(fields[1]) is not None and whole(fields[2]) is not None
    return placed and numbers and pci_address(fields[0]) is not None
